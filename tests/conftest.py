"""Fixtures: the real photos, weights and graphs, and small photo folders made on the spot."""

import os
from pathlib import Path

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder with real flowers, Keras weights and TF1 graphs; see its README.md."""
    repository = Path(__file__).resolve().parent.parent
    root = Path(os.environ.get("XFERLEARN_TEST_DATA", repository.parent / "shared" / "data"))
    if not (root / "flower_photos").is_dir():
        pytest.skip(f"needs the real photos: {root} has no flower_photos; set XFERLEARN_TEST_DATA")
    return root
