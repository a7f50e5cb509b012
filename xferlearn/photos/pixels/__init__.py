"""From a photo's file to the pixels that a network sees."""
