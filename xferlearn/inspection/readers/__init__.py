"""Readers of model files, one module for each format; nothing in a file is run."""
