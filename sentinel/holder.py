"""Know whether the process that holds the lease is gone, when it ran on this very machine (40 SEN-1)."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Self

PROC = Path("/proc")


@dataclass(frozen=True)
class Holder:
    """A process. `machine` tells boots and containers apart, `started` it from a later process of the same number."""

    host: str
    machine: str
    pid: int
    started: str

    @classmethod
    def this_process(cls) -> Self:
        pid = os.getpid()
        return cls(socket.gethostname(), this_machine(), pid, start_of(pid) or "")

    @classmethod
    def from_doc(cls, doc: Mapping[str, Any]) -> Self | None:
        """Who wrote a lease; None when the lease does not tell."""
        pid, texts = doc.get("pid"), [doc.get(name) for name in ("host", "machine", "started")]
        if not isinstance(pid, int) or not all(isinstance(text, str) for text in texts):
            return None
        host, machine, started = map(str, texts)
        return cls(host, machine, pid, started)

    def to_doc(self) -> dict[str, Any]:
        return {"host": self.host, "machine": self.machine, "pid": self.pid, "started": self.started}

    def is_dead(self) -> bool:
        """Whether it is known to be gone; False for a process of another machine, which cannot be known."""
        if self.machine != this_machine() or self.pid <= 0:
            return False
        if PROC.is_dir() and self.started:
            return start_of(self.pid) != self.started
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        except OSError:
            return False
        return False


@cache
def this_machine() -> str:
    """The host's name, with the boot and the process namespace where the system tells them."""
    parts = [socket.gethostname()]
    try:
        parts.append((PROC / "sys/kernel/random/boot_id").read_text().strip())
        parts.append(os.readlink(PROC / "self/ns/pid"))
    except OSError:
        pass
    return " ".join(parts)


def start_of(pid: int) -> str | None:
    """When a process started, in ticks since the boot; None when it is gone, or only waits to be buried."""
    try:
        text = (PROC / str(pid) / "stat").read_text()
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()
    return None if fields[0] in ("Z", "X") else fields[19]
