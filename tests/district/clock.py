"""One moment for several processes: eight bytes in a file, moved by the simulation alone."""

from __future__ import annotations

import os
import struct
from datetime import UTC, datetime, timedelta
from pathlib import Path

from core.dates import local_zone, ms_of

FORMAT = "<q"  # milliseconds since the epoch


class SharedClock:
    """Called, it gives the moment with the server's own timezone; it stands still until it is moved."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CREAT)

    def __call__(self) -> datetime:
        ms: int = struct.unpack(FORMAT, os.pread(self._file, 8, 0))[0]
        return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ms)).astimezone(local_zone())

    def set(self, moment: datetime) -> None:
        os.pwrite(self._file, struct.pack(FORMAT, ms_of(moment)), 0)

    def move(self, **span: float) -> None:
        self.set(self() + timedelta(**span))

    def close(self) -> None:
        os.close(self._file)
