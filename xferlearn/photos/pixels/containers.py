"""What decoding needs to know of a file before it begins, and Pillow tells after it or never."""

# Sides of a JPEG XL photo: how many bits hold them, by a selector of 2 bits; ISO/IEC 18181-1.
_JXL_BITS = (9, 13, 18, 30)
_JXL_RATIOS = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))
_JXL_CODESTREAM = b"\xff\x0a"


def jxl_size(data: bytes) -> tuple[int, int]:
    """Returns width and height of a JPEG XL photo, px, whose reader decodes when it opens a file.

    Raises:
        ValueError: when there is no such header.
    """
    at = 0 if data.startswith(_JXL_CODESTREAM) else _codestream(data)
    bits = int.from_bytes(data[at + 2 : at + 18], "little")

    def take(count: int) -> int:
        nonlocal bits
        value = bits & ((1 << count) - 1)
        bits >>= count
        return value

    small = take(1)

    def side() -> int:
        return 8 * (take(5) + 1) if small else take(_JXL_BITS[take(2)]) + 1

    height = side()
    ratio = take(3)
    if not ratio:
        return side(), height
    across, down = _JXL_RATIOS[ratio - 1]
    return height * across // down, height


def _codestream(data: bytes) -> int:
    """Returns where the pixels of a JPEG XL container begin, or their first part."""
    at = 0
    while at + 16 <= len(data):
        size, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        start = at + 8
        if size == 1:
            size, start = int.from_bytes(data[at + 8 : at + 16], "big"), at + 16
        if kind in (b"jxlc", b"jxlp"):
            start += 4 if kind == b"jxlp" else 0  # the part's number
            if data.startswith(_JXL_CODESTREAM, start):
                return start
            break
        if size < 8:
            break
        at += size
    raise ValueError("it has no codestream")


def first_scan_has_all(data: bytes, components: int) -> bool:
    """Returns whether a JPEG's first scan has all of its components.

    If not, the decoder keeps the whole photo in memory, at whatever fraction it decodes it.
    """
    at = 2
    while at + 4 < len(data):
        marker = data[at + 1]
        if data[at] != 0xFF or marker == 0xFF:
            at += 1
        elif marker == 0xDA:
            return data[at + 4] == components
        elif marker in (0x00, 0x01) or 0xD0 <= marker <= 0xD9:
            at += 2
        else:
            at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return True


def png_blocks_behind(data: bytes) -> dict[bytes, bytes]:
    """Returns the chunks of a PNG that come after its pixels, by their type."""
    found = {}
    at, behind = 8, False
    while at + 12 <= len(data):
        size, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        if kind == b"IDAT":
            behind = True
        elif behind:
            found[kind] = data[at + 8 : at + 8 + size]
        at += size + 12
    return found
