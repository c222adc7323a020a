"""Run one API worker until it is told to stop, or to leave its place to another one."""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import Callable

from aiohttp import web

from api.app import create_app
from api.lifespan import end_held_feeds
from core.config import Config

log = logging.getLogger(__name__)

LINGER_S = 15.0  # for which clients may still use the connections they have
LONGEST_S = 600.0  # for which answers may still be written, such as large exports
LOOK_EVERY_S = 0.05


async def serve(
    config: Config,
    stop: asyncio.Event,
    *,
    reuse_port: bool = True,
    listener: socket.socket | None = None,
    leave: asyncio.Event | None = None,
    ready: Callable[[], None] = lambda: None,
) -> None:
    """Answer HTTP on `config.host:port` until `stop` is set, then finish what was begun within `config.drain_s`.

    With `reuse_port` several workers share the address; OSError when it is taken. A `listener` listens already, and
    goes on doing so without us. `ready` is called when requests are answered. When `leave` is set nothing new is
    accepted, and what there is ends without hurry (`linger`). Handlers of reads end with their client
    (`handler_cancellation`); writes are run to their end (pipeline.finish_writes).
    """
    app = create_app(config)
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=config.drain_s)
    await runner.setup()
    try:
        site: web.BaseSite
        if listener is None:
            site = web.TCPSite(runner, config.host, config.port, reuse_port=reuse_port or None, backlog=1024)
        else:
            site = web.SockSite(runner, listener, backlog=1024)
        await site.start()
        log.info("answering on http://%s:%d", config.host, config.port)
        ready()
        if await first_of(stop, leave or asyncio.Event()) is not stop:
            await site.stop()
            await linger(app, runner, stop)
    finally:
        await runner.cleanup()


async def linger(app: web.Application, runner: web.AppRunner, stop: asyncio.Event) -> None:
    """Answer what still comes on the connections there are, each time as the last answer of its connection.

    Held feeds end with what there is, so that phones ask again, elsewhere. Connections that are idle for too long are
    closed, the others when their answer is written.
    """
    end_held_feeds(app)
    server = runner.server
    assert server is not None
    started_s = time.monotonic()
    closing = False
    while server.connections and not stop.is_set():
        waited_s = time.monotonic() - started_s
        if waited_s > LINGER_S and not closing:
            closing = True
            for connection in server.connections:
                connection.close()
        if waited_s > LONGEST_S:
            log.warning("%d connections are cut: they did not end by themselves", len(server.connections))
            return
        await asyncio.sleep(LOOK_EVERY_S)  # connections tell nobody that they are closed


async def first_of(*events: asyncio.Event) -> asyncio.Event:
    """The event that is set first."""
    waits = {asyncio.create_task(event.wait()): event for event in events}
    try:
        done, _ = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        return next(waits[each] for each in waits if each in done)
    finally:
        for each in waits:
            each.cancel()
