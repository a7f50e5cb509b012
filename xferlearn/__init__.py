"""Teach a pretrained network your own image classes."""

from xferlearn.version import __version__

__all__ = ["__version__"]
