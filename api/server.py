"""Run one API worker until it is told to stop."""

from __future__ import annotations

import asyncio
import logging

from aiohttp import web

from api.app import create_app
from core.config import Config

log = logging.getLogger(__name__)


async def serve(config: Config, stop: asyncio.Event, *, reuse_port: bool = True) -> None:
    """Answer HTTP on `config.host:port` until `stop` is set, then finish what was begun within `config.drain_s`.

    With `reuse_port` several workers share the address. OSError when it is taken. Handlers of reads end with their
    client (`handler_cancellation`); writes are run to their end (pipeline.finish_writes).
    """
    runner = web.AppRunner(
        create_app(config), access_log=None, handler_cancellation=True, shutdown_timeout=config.drain_s
    )
    await runner.setup()
    try:
        await web.TCPSite(runner, config.host, config.port, reuse_port=reuse_port or None, backlog=1024).start()
        log.info("answering on http://%s:%d", config.host, config.port)
        await stop.wait()
    finally:
        await runner.cleanup()
