"""Wait until CouchDB answers, then bring it to the state every process relies on."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable

from core.config import Config
from core.couch.client import Couch, connect
from core.errors import DomainError
from core.prepare import check_couchdb, prepare


async def ready_alone(config: Config) -> None:
    """The same for a process that runs without a supervisor, which would have done it."""
    async with connect(config) as couch:
        await make_ready(couch, config, embedded=False)


async def make_ready(
    couch: Couch, config: Config, *, embedded: bool, begin: Callable[[str], None] = lambda step: None
) -> None:
    """Wait for CouchDB, then install what every process relies on. `begin` is told the name of each step."""
    pause_s, waited_s, said_s = 0.05, 0.0, 0.0
    while True:
        try:
            begin("checks")
            await check_couchdb(couch)
            await prepare(couch, config, begin)
            return
        except DomainError as error:
            if error.status != 503:
                raise
            reason = error.message
        if waited_s >= (5.0 if embedded else 0.0) and waited_s - said_s >= min(waited_s, 10.0):
            print(f"outpost: waiting for CouchDB at {couch.server_url} ({reason})", file=sys.stderr, flush=True)
            said_s = waited_s
        await asyncio.sleep(pause_s)
        waited_s += pause_s
        pause_s = min(pause_s * 1.5, 2.0)
