"""The memory that decoded photos may take at a time, and who has to wait for it."""

import contextlib
import threading
from collections.abc import Iterator

from xferlearn.config.sizes import size_text
from xferlearn.photos.pixels.formats import BadImage
from xferlearn.system.memory import PROGRAM_BYTES, memory_room, return_freed_memory
from xferlearn.system.runtime import core_count

# A photo that takes no more than this is decoded inside the pipeline, several at a time.
SMALL_BYTES = 16 * 2**20
_MOST_IN_FLIGHT = 2**30


class PixelMemory:
    """Memory for decoded pixels, shared by the threads of one reading.

    Attributes:
        budget: bytes that decoded photos may take in all.
        largest: bytes that a photo may take that is decoded alone.
    """

    def __init__(self, max_memory: int | None = None) -> None:
        """Settles the budget.

        Args:
            max_memory: bytes for the whole process; None for half of what is free.
        """
        room = memory_room(max_memory)
        self.budget = min(_MOST_IN_FLIGHT, room)
        # A quarter is the pipeline's, in which small photos are decoded, and some are data that
        # waits.
        self._capacity = self.budget // 2
        self.largest = self._capacity if max_memory is None else max(self._capacity, room)
        self._taken = 0
        self._changed = threading.Condition()

    @property
    def parallel(self) -> int:
        """How many small photos may be decoded at a time.

        More than there are cores, because some photos take several times as long as others.
        """
        return max(2, min(core_count() + 2, self.budget // 4 // SMALL_BYTES))

    @contextlib.contextmanager
    def taken(self, size: int, what: str) -> Iterator[None]:
        """Waits until a photo may take memory, and keeps it for the block.

        Args:
            size: bytes.
            what: the photo in a few words, such as its width and height.

        Raises:
            BadImage: when it takes more than there will ever be.
        """
        if size > self.largest:
            raise BadImage(
                f"{what} take {size_text(size)} to decode, more than the {size_text(self.largest)}"
                f" there are for it: set max_memory={_whole_gib(size + PROGRAM_BYTES)} or more"
            )
        with self._changed:
            # What is larger than the capacity is decoded alone.
            self._changed.wait_for(lambda: not self._taken or self._taken + size <= self._capacity)
            self._taken += size
        try:
            yield
        finally:
            if size > SMALL_BYTES:
                return_freed_memory()
            with self._changed:
                self._taken -= size
                self._changed.notify_all()


def _whole_gib(size: int) -> str:
    return f"{-(-size // 2**30)}GiB"
