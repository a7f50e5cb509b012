"""How many bits photos need, kept on disk: to find out, all their pixels have to be decoded."""

import contextlib
import hashlib
from pathlib import Path

from xferlearn.photos.pixels.depth import DEPTHS
from xferlearn.system.files import write_atomically

FOLDER = "bit_depths"
_DIGEST = 32
_RECORD = _DIGEST + 1


class DepthRecords:
    """The bits that photos need, by their digests, in a folder that several runs may share.

    Each run adds a file, which is named by the SHA-256 of its bytes and never changed.
    """

    def __init__(self, root: Path) -> None:
        """Reads what there is.

        Args:
            root: folder of the bottlenecks; the records lie in one of its own below it.
        """
        self._folder = root / FOLDER
        self._new: dict[bytes, int] = {}
        self._known: dict[bytes, int] = {}
        with contextlib.suppress(OSError):
            for path in self._folder.glob("*.bin"):
                data = path.read_bytes()
                if hashlib.sha256(data).hexdigest() == path.stem:
                    for at in range(0, len(data), _RECORD):
                        self._known[data[at : at + _DIGEST]] = data[at + _DIGEST]

    def get(self, digest: bytes) -> int | None:
        """Returns the bits that a photo needs, one of `DEPTHS`; None if nobody has looked."""
        bits = self._known.get(digest)
        return bits if bits in DEPTHS else None

    def add(self, digest: bytes, bits: int) -> None:
        """Notes the bits that a photo needs."""
        if digest not in self._known:
            self._known[digest] = self._new[digest] = bits

    def save(self) -> None:
        """Writes what is new. Without room for it, photos are only decoded again next time."""
        if not self._new:
            return
        data = b"".join(digest + bytes([bits]) for digest, bits in sorted(self._new.items()))
        with contextlib.suppress(OSError):
            self._folder.mkdir(parents=True, exist_ok=True)
            write_atomically(self._folder / f"{hashlib.sha256(data).hexdigest()}.bin", data)
        self._new = {}
