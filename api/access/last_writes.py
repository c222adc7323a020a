"""When each user last wrote through any process of this machine: what the user's next list must have in it."""

from __future__ import annotations

import logging
import mmap
import time
from pathlib import Path
from zlib import crc32

log = logging.getLogger(__name__)

SLOTS = 65_536
SIZE_BYTES = SLOTS * 8


class LastWrites:
    """A table in a file that all processes of the machine map; times are those of its monotonic clock.

    Users whose names fall into one slot share it: the later write counts for both, and costs the other a question.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._map = mapped(path)
        except OSError as error:
            log.warning("%s: %s; only this process's own writes are waited for", path, error)
            self._map = mmap.mmap(-1, SIZE_BYTES)
        self._times_s = memoryview(self._map).cast("d")
        for slot, time_s in enumerate(self._times_s):
            if time_s > time.monotonic():  # the machine was started again, and its clock with it
                self._times_s[slot] = time.monotonic()

    def close(self) -> None:
        self._times_s.release()
        self._map.close()

    def note(self, name: str) -> None:
        """This user has written just now."""
        self._times_s[slot_of(name)] = time.monotonic()

    def at_s(self, name: str) -> float:
        """When this user last wrote; 0 when never."""
        return self._times_s[slot_of(name)]


def mapped(path: Path) -> mmap.mmap:
    """The file, made where it is missing. It has no holes: writing to one would end the process on a full disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab+") as file:
        file.write(bytes(max(0, SIZE_BYTES - file.tell())))
        file.flush()
        return mmap.mmap(file.fileno(), SIZE_BYTES)


def slot_of(name: str) -> int:
    return crc32(name.encode("utf-8", "surrogatepass")) % SLOTS
