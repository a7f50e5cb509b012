"""Decodes photos with TensorFlow operations alone, exactly as `photos.headers.prepare` does.

A served model gets JPEG and PNG files and has no Python. What `prepare` reads from a header with
Pillow is read here from its bytes: the EXIF orientation, the size, and the type of PNG pixels.
"""

from typing import TYPE_CHECKING

from xferlearn.photos.pixels.depth import DEPTHS
from xferlearn.photos.pixels.headers import IN_GRAPH, MOST_IN_GRAPH, PNG_KIND
from xferlearn.photos.pixels.operations import decode_pixels
from xferlearn.photos.views import CROP_FRACTION

if TYPE_CHECKING:
    import tensorflow as tf

_ORIENTATION = 0x0112
_EXIF = b"Exif\x00\x00"
_XMP = b"http://ns.adobe.com/xap/1.0/\x00"
# Where there is no EXIF tag, Pillow looks for the same in XMP.
_XMP_ORIENTATION = r'(?s)^.*?tiff:Orientation(?:="|>)([0-9]).*$'
# Bytes of one value, by TIFF type, 0 for unknown types; and which types hold whole numbers.
_UNITS = (0, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4)
_WHOLE = (0, 0, 0, 1, 1, 0, 1, 0, 1, 1, 0, 0, 0, 0)


def decode_photo(
    data: "tf.Tensor", image_size: int, resize: str = "crop", bit_depth: int | None = None
) -> "tf.Tensor":
    """Decodes a JPEG or PNG file to the network's pixels, as `prepare` and `decode_pixels` do.

    Args:
        data: string, []: the file.
        image_size: side in px of the result.
        resize: "crop" or "squash", see `pixels.resize_pixels`.
        bit_depth: bits used of PNGs with 16 per channel, at least; None for what each needs.

    Returns:
        uint8, [image_size, image_size, 3], RGB, range [0, 255].

    Raises:
        tf.errors.InvalidArgumentError: on broken data and on other formats.
    """
    import tensorflow as tf

    needed = image_size / CROP_FRACTION
    is_jpeg = tf.equal(tf.strings.substr(data, 0, 2), b"\xff\xd8")
    plain, kind, orientation = tf.cond(
        is_jpeg, lambda: _jpeg(data, needed), lambda: _png(data, needed, bit_depth)
    )
    return decode_pixels(plain, kind, orientation, image_size, resize)


def _jpeg(data: "tf.Tensor", needed: float) -> "tuple[tf.Tensor, tf.Tensor, tf.Tensor]":
    import tensorflow as tf

    shorter = tf.cast(tf.reduce_min(tf.image.extract_jpeg_shape(data)[:2]), tf.float32)
    halvings = tf.reduce_sum(tf.cast(shorter / tf.constant([2.0, 4.0, 8.0]) >= needed, tf.int32))
    length = tf.strings.length(data)

    def step(at: tf.Tensor, exif: tf.Tensor, xmp: tf.Tensor) -> tuple[tf.Tensor, ...]:
        head = _bytes(tf.strings.substr(data, at, 4), 4)
        first, marker, high, low = tf.unstack(head, num=4)
        size = 256 * high + low
        block = tf.strings.substr(data, at + 4, tf.clip_by_value(size - 2, 0, length - at - 4))
        is_app1 = (first == 0xFF) & (marker == 0xE1)
        has_exif = is_app1 & tf.equal(tf.strings.substr(block, 0, 6), _EXIF)
        has_xmp = is_app1 & tf.equal(tf.strings.substr(block, 0, len(_XMP)), _XMP)
        padding = (first != 0xFF) | (marker == 0xFF)
        bare = (marker == 0) | (marker == 1) | ((marker >= 0xD0) & (marker <= 0xD9))
        stride = tf.where(padding, 1, tf.where(bare, 2, 2 + tf.maximum(size, 2)))
        scan = (first == 0xFF) & (marker == 0xDA)
        return (
            tf.where(scan, length, at + stride),
            # A block larger than 64 KB continues in a second one.
            tf.where(has_exif, tf.strings.join([exif, _after(block, len(_EXIF))]), exif),
            tf.where(has_xmp, block, xmp),
        )

    _, exif, xmp = tf.while_loop(
        lambda at, exif, xmp: at + 4 <= length,
        step,
        (tf.constant(2), tf.constant(b""), tf.constant(b"")),
    )
    return data, halvings, _orientation(exif, xmp)


def _png(
    data: "tf.Tensor", needed: float, bit_depth: int | None
) -> "tuple[tf.Tensor, tf.Tensor, tf.Tensor]":
    import tensorflow as tf

    length = tf.strings.length(data)
    header = _bytes(tf.strings.substr(data, tf.minimum(16, length), 10), 10)
    width, height = _number(header[:4]), _number(header[4:8])
    depth, colours = header[8], header[9]

    def step(
        at: tf.Tensor, exif: tf.Tensor, xmp: tf.Tensor, sees_through: tf.Tensor
    ) -> tuple[tf.Tensor, ...]:
        size = _number(_bytes(tf.strings.substr(data, at, 4), 4))
        kind = tf.strings.substr(data, at + 4, 4)
        block = tf.strings.substr(data, at + 8, tf.clip_by_value(size, 0, length - at - 8))
        ends = (size < 0) | (size > length - at - 12) | tf.equal(kind, b"IEND")
        return (
            tf.where(ends, length, at + size + 12),
            tf.where(tf.equal(kind, b"eXIf"), block, exif),
            tf.where(tf.equal(kind, b"iTXt"), block, xmp),
            sees_through | tf.equal(kind, b"tRNS"),
        )

    _, exif, xmp, sees_through = tf.while_loop(
        lambda at, *_: at + 12 <= length,
        step,
        (tf.constant(8), tf.constant(b""), tf.constant(b""), tf.constant(False)),
    )
    # Palettes, alpha, and gray of 1 or 16 bits, which Pillow turns into plain pixels in training.
    rare = sees_through | (colours == 3) | (colours == 4) | (colours == 6)
    rare |= (colours == 0) & ((depth == 1) | (depth == 16))
    bits = _bits_used(data, depth, bit_depth)
    rare |= bits < 16
    # Large ones, which are shrunk to twice the size that is needed.
    large = ~rare & (IN_GRAPH * width * height > MOST_IN_GRAPH)
    shorter = tf.cast(tf.minimum(width, height), tf.float32)
    shrunk = shorter / tf.where(large, 2 * needed, needed)
    reduction = tf.maximum(tf.cast(shrunk, tf.int32), 1)
    opaque = (colours == 0) & ~sees_through
    plain = tf.cond(
        rare | large,
        lambda: tf.io.encode_png(_on_white(_eight_bits(data, bits), opaque, reduction)),
        lambda: data,
    )
    return plain, tf.constant(PNG_KIND), _orientation(_without(exif, _EXIF), xmp)


def _eight_bits(data: "tf.Tensor", bits: "tf.Tensor") -> "tf.Tensor":
    """Returns a PNG's values of which `bits` are used, from 0 to 255, int32, [height, width, 4]."""
    import tensorflow as tf

    def shifted() -> tf.Tensor:
        values = _values(data)
        colour, alpha = values[..., :3], values[..., 3:]
        # As in `DeepImage`: alpha has all 16 bits where it exceeds the colours'.
        shift = tf.where(tf.reduce_max(alpha) < tf.bitwise.left_shift(1, bits), bits - 8, 8)
        both = (tf.bitwise.right_shift(colour, bits - 8), tf.bitwise.right_shift(alpha, shift))
        return tf.concat(both, axis=-1)

    return tf.cond(
        bits < 16, shifted, lambda: tf.cast(tf.io.decode_png(data, channels=4), tf.int32)
    )


def _bits_used(data: "tf.Tensor", depth: "tf.Tensor", bit_depth: int | None) -> "tf.Tensor":
    """Returns how many bits of a PNG's values are used, int32: as in `DeepImage.depth`."""
    import tensorflow as tf

    def needed() -> tf.Tensor:
        largest = tf.reduce_max(_values(data)[..., :3])
        more = sum(tf.cast(largest >= 2**bits, tf.int32) for bits in DEPTHS[:-1])
        return tf.maximum(DEPTHS[0] + 2 * more, bit_depth or 0)

    return tf.cond((depth == 16) & (bit_depth != 16), needed, lambda: tf.constant(16))


def _values(data: "tf.Tensor") -> "tf.Tensor":
    """Returns a PNG's values as they are, int32, [height, width, 4], range [0, 65535]."""
    import tensorflow as tf

    return tf.cast(tf.io.decode_png(data, channels=4, dtype=tf.uint16), tf.int32)


def _on_white(pixels: "tf.Tensor", opaque: "tf.Tensor", reduction: "tf.Tensor") -> "tf.Tensor":
    """Returns pixels on white, shrunk by a whole number, uint8, [height, width, 3]."""
    import tensorflow as tf

    # TensorFlow gives gray of 1 bit an alpha of 1.
    colour, alpha = pixels[..., :3], tf.where(opaque, 255, pixels[..., 3:])
    mixed = (2 * (colour * alpha + 255 * (255 - alpha)) + 255) // 510
    return tf.cast(_reduced(mixed, reduction), tf.uint8)


def _reduced(pixels: "tf.Tensor", factor: "tf.Tensor") -> "tf.Tensor":
    """Averages boxes of factor x factor px, which are smaller at the right and the bottom."""
    import tensorflow as tf

    sides = tf.shape(pixels)[:2]
    boxes = -(-sides // factor)
    spare = boxes * factor - sides

    def sums(values: tf.Tensor) -> tf.Tensor:
        padded = tf.pad(values, [[0, spare[0]], [0, spare[1]], [0, 0]])
        shape = tf.stack([boxes[0], factor, boxes[1], factor, tf.shape(values)[2]])
        return tf.reduce_sum(tf.reshape(padded, shape), axis=[1, 3])

    counts = tf.cast(sums(tf.ones_like(pixels[..., :1])), tf.int64)
    # Divided and rounded as in Pillow's `reduce`.
    inverse = 2**24 // counts
    return (tf.cast(sums(pixels), tf.int64) + counts // 2) * inverse // 2**24


def _orientation(exif: "tf.Tensor", xmp: "tf.Tensor") -> "tf.Tensor":
    """Returns the orientation, 1 to 8, of EXIF, else of XMP; 1 where neither states it."""
    import tensorflow as tf

    stated, value = _tiff_orientation(exif)
    digit = tf.strings.regex_replace(xmp, _XMP_ORIENTATION, r"\1")
    in_xmp = tf.strings.regex_full_match(xmp, _XMP_ORIENTATION)
    other = tf.strings.to_number(tf.where(in_xmp, digit, "1"), tf.int32)
    value = tf.where(stated, value, other)
    return tf.where((value >= 1) & (value <= 8), value, 1)


def _tiff_orientation(exif: "tf.Tensor") -> "tuple[tf.Tensor, tf.Tensor]":
    """Reads the first directory of an EXIF block: whether it states the orientation, and which."""
    import tensorflow as tf

    size = tf.strings.length(exif)
    held = _bytes(exif, tf.maximum(size, 8))
    little = held[0] == ord("I")
    magic = tf.where(little, held[2] + 256 * held[3], 256 * held[2] + held[3])
    # Some cameras write the magic number 42 in the other byte order.
    known = (held[0] == held[1]) & (little | (held[0] == ord("M"))) & (size >= 8)
    known &= (magic == 42) | (magic == 42 << 8)

    def number(values: tf.Tensor) -> tf.Tensor:
        return _number(tf.where(little, tf.reverse(values, [-1]), values))

    start = number(held[4:8])
    start = tf.where((start < 0) | (start > tf.shape(held)[0] - 2), tf.shape(held)[0], start)
    count = tf.reduce_sum(number(held[start : start + 2]))
    left = tf.maximum(tf.shape(held)[0] - start - 2, 0) // 12
    count = tf.minimum(count, left)
    table = tf.reshape(held[start + 2 : start + 2 + 12 * count], [-1, 12])
    kinds = number(table[:, 2:4])
    kinds = tf.where(kinds < len(_UNITS), kinds, 0)
    units = tf.gather(tf.constant(_UNITS), kinds)
    sizes = tf.cast(units, tf.int64) * tf.cast(number(table[:, 4:8]), tf.int64)
    found = (number(table[:, :2]) == _ORIENTATION) & (sizes != 0)
    found &= _before_end(sizes, tf.cast(number(table[:, 8:12]), tf.int64), tf.cast(size, tf.int64))
    widths = units * tf.gather(tf.constant(_WHOLE), kinds)
    values = tf.stack([number(table[:, 8 : 8 + max(1, width)]) for width in range(5)], axis=1)
    values = tf.gather(values, widths, axis=1, batch_dims=1)
    # What is not a whole number, or lies elsewhere in the block, counts as upright.
    inline = (widths > 0) & (sizes <= 4)
    values = tf.where(inline, values, 1)
    # The first of several counts; a one after all of them stands for none.
    first = tf.argmax(tf.concat([tf.cast(found, tf.int32), [1]], axis=0))
    value = tf.where(known, tf.concat([values, [1]], axis=0)[first], 1)
    stated = tf.where(known, tf.reduce_any(found), size > 0)
    return stated, value


def _before_end(sizes: "tf.Tensor", places: "tf.Tensor", length: "tf.Tensor") -> "tf.Tensor":
    """Returns which entries come before one whose data lies beyond the end, where Pillow stops.

    Entries that claim more than the whole block, alone or with those before, are passed over.
    """
    import tensorflow as tf

    outside = tf.where(sizes > 4, sizes, 0)
    stops = (outside > 0) & (tf.cumsum(outside) <= length) & (places + sizes > length)
    return tf.cumsum(tf.cast(stops, tf.int32)) == 0


def _bytes(data: "tf.Tensor", size: "int | tf.Tensor") -> "tf.Tensor":
    """Returns the bytes of a string as int32, [size], cut, or padded with zeros."""
    import tensorflow as tf

    found = tf.cast(tf.io.decode_raw(data, tf.uint8), tf.int32)[:size]
    return tf.pad(found, [[0, size - tf.shape(found)[0]]])


def _number(values: "tf.Tensor") -> "tf.Tensor":
    """Returns the big-endian number in the last axis; from 2^31 on it is negative."""
    import tensorflow as tf

    width = tf.shape(values)[-1]
    weights = tf.bitwise.left_shift(1, 8 * tf.range(width - 1, -1, -1))
    return tf.reduce_sum(values * weights, axis=-1)


def _after(data: "tf.Tensor", size: int) -> "tf.Tensor":
    """Returns a string without its first bytes."""
    import tensorflow as tf

    return tf.strings.substr(data, tf.minimum(size, tf.strings.length(data)), 2**30)


def _without(data: "tf.Tensor", prefix: bytes) -> "tf.Tensor":
    import tensorflow as tf

    starts = tf.equal(tf.strings.substr(data, 0, len(prefix)), prefix)
    return tf.where(starts, _after(data, len(prefix)), data)
