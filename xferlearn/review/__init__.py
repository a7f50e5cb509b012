"""The page that asks a person about suspicious photos, and retrains with the answers."""

from xferlearn.review.choosing import next_photos

__all__ = ["next_photos"]
