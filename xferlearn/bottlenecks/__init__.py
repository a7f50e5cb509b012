"""Bottlenecks: what the frozen network makes of a photo, computed once and kept on disk."""
