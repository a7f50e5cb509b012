"""The page that asks a person about suspicious photos, and retrains with the answers."""

from xferlearn.review.choosing import next_photos
from xferlearn.review.opening import Review, open_review

__all__ = ["Review", "next_photos", "open_review"]
