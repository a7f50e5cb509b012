"""The page that asks a person about suspicious photos, and retrains with the answers."""
