"""How much memory a process may still take: of the machine, and of the container it runs in."""

import contextlib
import ctypes
import os
from pathlib import Path

# What a process takes before any photo: TensorFlow, the network, the batches.
PROGRAM_BYTES = 768 * 2**20
_LEAST = 64 * 2**20


def free_memory() -> int | None:
    """Returns the bytes that can be taken without swapping; None where that is unknown.

    The limits of control groups count, which containers and schedulers set.
    """
    known = [size for size in (_machine(), *group_memory()) if size is not None]
    return max(min(known), 0) if known else None


def memory_room(max_memory: int | None = None) -> int:
    """Returns the bytes that a command may take beside TensorFlow and the network.

    Args:
        max_memory: bytes for the whole process; None for half of what is free.
    """
    if max_memory is None:
        free = free_memory()
        max_memory = 4 * 2**30 if free is None else free // 2
    return max(max_memory - PROGRAM_BYTES, max_memory // 4, _LEAST)


def return_freed_memory() -> None:
    """Gives memory that was freed back to the machine, where the C library would keep it.

    What threads have freed, glibc keeps for them: gigabytes, after large photos.
    """
    with contextlib.suppress(OSError, AttributeError):  # other systems have no such function
        ctypes.CDLL(None).malloc_trim(0)


def _machine() -> int | None:
    with contextlib.suppress(OSError, ValueError):
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    with contextlib.suppress(OSError, ValueError, AttributeError):
        # macOS knows the whole alone.
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    return None


def group_memory(
    root: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")
) -> list[int]:
    """Returns what each control group of this process leaves, of version 2 or 1."""
    found = []
    with contextlib.suppress(OSError):
        for line in own.read_text(encoding="utf-8", errors="replace").splitlines():
            _, _, rest = line.partition(":")
            controllers, _, path = rest.partition(":")
            base, names = root, ("memory.max", "memory.current", "inactive_file")
            if controllers:
                if "memory" not in controllers.split(","):
                    continue
                base = root / "memory"
                names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
            folder = base / path.strip("/")
            # Inside a container the path may be that of the host: the root is its own group then.
            for group in dict.fromkeys((folder, *folder.parents, base)):
                if group.is_relative_to(base) and (left := _left(group, *names)) is not None:
                    found.append(left)
    return found


def _left(group: Path, limit: str, usage: str, cached: str) -> int | None:
    try:
        most, taken = (int((group / name).read_text(encoding="ascii")) for name in (limit, usage))
    except (OSError, ValueError):  # no such group, or "max" for no limit
        return None
    with contextlib.suppress(OSError, ValueError):
        for line in (group / "memory.stat").read_text(encoding="ascii").splitlines():
            name, _, value = line.partition(" ")
            if name == cached:  # files that were read, which the kernel drops first
                taken -= int(value)
    return most - taken
