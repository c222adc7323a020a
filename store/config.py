"""How a store is started: its folder, its address, its administrators and its limits."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from store.passwords import DEFAULT_ITERATIONS


@dataclass(frozen=True)
class StoreConfig:
    """Everything a store is told from outside; it reads no environment."""

    data: Path
    host: str = "127.0.0.1"
    port: int = 5984
    admins: Mapping[str, str] = field(default_factory=dict)  # name -> password
    cookie_timeout_s: int = 31_536_000
    pbkdf2_iterations: int = DEFAULT_ITERATIONS
    most_open_databases: int = 100  # each holds about ten file handles
    max_body_bytes: int = 256 * 1024 * 1024  # of a JSON request
    max_attachment_bytes: int = 512 * 1024 * 1024
    body_window_s: float = 60.0  # in which at least 16 KiB of a body, or its end, must come
    javascript_engines: int = 2
    access_log: bool = False
    drain_s: float = 5.0  # how long requests in hand may take to end at stop
    now: Callable[[], float] = time.time
