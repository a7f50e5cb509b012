"""Large PNG photos, decoded band by band: in the memory of a band, not of the whole photo."""

import io
import struct
import zlib
from collections.abc import Iterator

from PIL import Image, PngImagePlugin

from xferlearn.photos.pixels.formats import BadImage

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by colour type


def has_bands(data: bytes) -> bool:
    """Returns whether a PNG is of a kind that is decoded in bands: 8 bits, rows in their order."""
    return data[24:25] == b"\x08" and data[28:29] == b"\0"


class PngBands:
    """The rows of a PNG file, to be read once, from top to bottom.

    A row is stored as what differs from the one above. So each band is a PNG of its own, whose
    first row is the last one of the band before.
    """

    def __init__(self, data: bytes) -> None:
        """Reads the header and finds the pixels.

        Args:
            data: the file's bytes, for which `has_bands` holds.
        """
        self._width, _, self._bits, self._colours = struct.unpack(">IIBB", data[16:26])
        self._stride = self._width * _CHANNELS[self._colours]
        self._above = bytes(self._stride)
        self._colour_chunks = b""
        self._inflated = self._inflate(self._chunks(data))
        self._held = bytearray()

    def rows(self, top: int, bottom: int) -> Image.Image:
        """Returns the next rows, of Pillow's mode for such a PNG.

        Raises:
            BadImage: when the file ends before.
        """
        size = (bottom - top) * (self._stride + 1)
        while len(self._held) < size:
            part = next(self._inflated, None)
            if part is None:
                raise BadImage("can't be decoded (its end is missing)")
            self._held += part
        band = b"\0" + self._above + self._held[:size]
        del self._held[:size]
        header = struct.pack(
            ">IIBBBBB", self._width, bottom - top + 1, self._bits, self._colours, 0, 0, 0
        )
        file = (
            _SIGNATURE
            + _chunk(b"IHDR", header)
            + self._colour_chunks
            + _chunk(b"IDAT", zlib.compress(band, 0))
            + _chunk(b"IEND", b"")
        )
        image = PngImagePlugin.PngImageFile(io.BytesIO(file))
        image.load()
        height = image.size[1]
        self._above = image.crop((0, height - 1, self._width, height)).tobytes()
        return image.crop((0, 1, self._width, height))

    def _chunks(self, data: bytes) -> Iterator[bytes]:
        """Yields the compressed pixels; keeps what says how they look."""
        at = 8
        while at + 12 <= len(data):
            size, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
            if kind in (b"PLTE", b"tRNS"):
                self._colour_chunks += data[at : at + size + 12]
            elif kind == b"IDAT":
                yield data[at + 8 : at + 8 + size]
            at += size + 12

    def _inflate(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        """Yields the stored rows in small parts: a few bytes may become gigabytes."""
        stream = zlib.decompressobj()
        for chunk in chunks:
            waiting = chunk
            while part := stream.decompress(waiting, 2**20):
                yield part
                waiting = stream.unconsumed_tail


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
