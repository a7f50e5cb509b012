"""Photos in folders: which files are photos, what the folders are, and their names."""
