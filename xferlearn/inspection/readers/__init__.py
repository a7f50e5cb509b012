"""Readers of model files; nothing in a file is run.

One module per format, named as in `predictors` and `exports`: the format's name, with `_files`
behind it where a library has that name. Each has a function that recognises the format from
content and one that reads it into a `Graph`; `inspection.formats` lists them. What several of them
share is in wire (protocol buffers), flat (FlatBuffers), hdf5, graphdef (TensorFlow's operations)
and keras_config.
"""
