"""Photos: where they come from, how they are split, read, cropped and decoded."""
