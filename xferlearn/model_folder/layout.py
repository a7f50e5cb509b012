"""What a model folder holds: the names of its files, and what is in metadata.json of them."""

MODEL_FILE = "model.keras"
LABELS_FILE = "labels.txt"
METADATA_FILE = "metadata.json"
PHOTOS_FILE = "photos.csv"
PREDICTIONS_FILE = "predictions.parquet"
EXPORTS_DIR = "exports"
# Exports are made in hidden folders of the model folder whose names begin with this.
UNFINISHED_EXPORT = "export"
# Outputs of model.keras, where it has two.
PREDICTIONS, FAMILIARITY = "predictions", "familiarity"
# Of metadata.json: the digests of the other files by name, and its own, of all that is before it.
# Folders of earlier versions have neither.
FILES, OWN_DIGEST = "files", "sha256"
