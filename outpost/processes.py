"""What each kind of process runs, and how it learns that it should stop."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import signal
import socket
import sqlite3
import sys
from collections.abc import Awaitable, Callable

from core.config import Config
from outpost.machine import CannotStart

log = logging.getLogger(__name__)

# Set for a process that the supervisor started. Its standard input is a socket: the process stops when the supervisor's
# end closes, and says there that it is ready.
SUPERVISED = "OUTPOST_SUPERVISED"
READY = b"ready\n"
# The number of the file handle on which a worker finds its listening socket.
LISTENER = "OUTPOST_LISTENER"


async def run_store(config: Config) -> None:
    """CannotStart when the data folder or the port is another's, or the folder cannot be written."""
    from store.server import StoreConfig, serve

    name, password = config.couch_admin
    store = StoreConfig(data=config.data / "store", host="127.0.0.1", port=config.store_port, admins={name: password})
    try:
        await until_stopped(lambda stop: serve(store, stop))
    except (OSError, sqlite3.Error) as error:
        raise CannotStart(f"the embedded store cannot run on {store.data.absolute()}: {error}") from error


async def run_worker(config: Config) -> None:
    """SIGUSR1 makes it leave its place to another worker: it accepts nothing more, and ends when all is answered."""
    from api.server import serve

    if config.metrics_dir:
        config.metrics_dir.mkdir(parents=True, exist_ok=True)
    leave = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, leave.set)
    listener = inherited_listener()
    await until_stopped(lambda stop: serve(config, stop, listener=listener, leave=leave, ready=say_ready))


def inherited_listener() -> socket.socket | None:
    """The listening socket that the supervisor keeps for this worker and those after it."""
    number = os.environ.get(LISTENER)
    return socket.socket(fileno=int(number)) if number else None


def say_ready() -> None:
    """Tell the supervisor that this process does its work now."""
    if os.environ.get(SUPERVISED):
        os.write(sys.stdin.fileno(), READY)


async def run_index(config: Config) -> None:
    from api.access.indexer import run_indexer
    from api.background import running
    from api.sampler import INTERVAL_S, keep_sampling

    async def run(stop: asyncio.Event) -> None:
        async with running("measuring", lambda: keep_sampling(config), retry_s=INTERVAL_S):
            await run_indexer(config, stop)

    config.data.mkdir(parents=True, exist_ok=True, mode=0o700)
    say_ready()
    await until_stopped(run)


async def run_sentinel(config: Config) -> None:
    """SIGUSR1 stops the processing of changes and lets it go on, SIGUSR2 runs all jobs now (40 SEN-17)."""
    from sentinel.controls import Controls
    from sentinel.worker import run_worker as run

    controls = Controls()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGUSR1, controls.toggle)
    loop.add_signal_handler(signal.SIGUSR2, controls.run_jobs)
    say_ready()
    await until_stopped(lambda stop: run(config, stop, controls=controls))


async def until_stopped(run: Callable[[asyncio.Event], Awaitable[None]]) -> None:
    """Run until SIGTERM, SIGINT or, under the supervisor, the supervisor's death."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stop.set)
    watch = asyncio.create_task(watch_supervisor(stop)) if os.environ.get(SUPERVISED) else None
    gc.collect()
    gc.freeze()  # what is loaded by now stays: no collection need look at it again
    gc.set_threshold(5_000)  # a page of documents comes and goes without one; 700 are a few dozen documents
    try:
        await run(stop)
    finally:
        if watch:
            watch.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watch


async def watch_supervisor(stop: asyncio.Event) -> None:
    """Set `stop` when standard input ends, which it does when the supervisor is gone, however it went."""
    reader = asyncio.StreamReader()
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    try:
        with contextlib.suppress(ConnectionError):  # it went without reading what we told it
            while await reader.read(1024):
                pass
        log.warning("the supervisor is gone; stopping")
        stop.set()
    finally:
        transport.close()
