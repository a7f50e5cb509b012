"""Photos that show the same picture: equal pixels, and copies that were saved in another way."""
