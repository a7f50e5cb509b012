"""The machine: TensorFlow's start, files and folders, progress, and text on a terminal."""
