"""`outpost index --rebuild`: build the access index anew and show how far it is."""

from __future__ import annotations

import sys
import time

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from api.access.rebuild import rebuild
from core.config import Config
from outpost.machine import CannotStart

LINE_EVERY_S = 10.0


async def rebuild_index(config: Config) -> int:
    """Rebuild, with a bar on a terminal and plain lines elsewhere; the exit code. Raises CannotStart, DomainError."""
    config.data.mkdir(parents=True, exist_ok=True, mode=0o700)
    started_s = time.monotonic()
    try:
        changes = await (with_bar(config) if sys.stderr.isatty() else with_lines(config))
    except BlockingIOError:
        raise CannotStart("another process is rebuilding the access index") from None
    took_s = time.monotonic() - started_s
    print(f"access index: {changes} changes in {took_s:.1f} s", file=sys.stderr)
    return 0


async def with_bar(config: Config) -> int:
    columns = (
        TextColumn("access index"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("changes"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("access index", total=None)
        return await rebuild(config, lambda done, left: progress.update(task, completed=done, total=done + left))


async def with_lines(config: Config) -> int:
    told_at_s = time.monotonic()

    def tell(done: int, left: int) -> None:
        nonlocal told_at_s
        if time.monotonic() - told_at_s > LINE_EVERY_S:
            told_at_s = time.monotonic()
            print(f"access index: {done} of {done + left} changes", file=sys.stderr, flush=True)

    return await rebuild(config, tell)
