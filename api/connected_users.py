"""When each user was last seen, for the monitoring: `connected-user-<name>` in the logs database (AUTH-44, MOD-92)."""

from __future__ import annotations

import logging
from collections.abc import Callable

from aiohttp import web
from cachetools import TTLCache

from core.couch.client import Database, Doc
from core.errors import DomainError

log = logging.getLogger(__name__)

EVERY_MS = 1_800_000
MOST_REMEMBERED = 20_000


class ConnectedUsers:
    """Notes a user at most once in half an hour; a failure is logged and fails nobody's request."""

    def __init__(self, logs: Database, now_ms: Callable[[], int]) -> None:
        self.logs = logs
        self.now_ms = now_ms
        self._noted: TTLCache[str, bool] = TTLCache(MOST_REMEMBERED, EVERY_MS, timer=now_ms)

    async def note(self, name: str) -> None:
        if name in self._noted:
            return
        self._noted[name] = True
        seen_ms = self.now_ms()

        def renew(doc: Doc | None) -> Doc | None:
            last = (doc or {}).get("timestamp")
            if isinstance(last, int) and seen_ms - last < EVERY_MS:
                return None
            return {**(doc or {}), "user": name, "timestamp": seen_ms}

        try:
            await self.logs.update(f"connected-user-{name}", renew)
        except DomainError as error:
            self._noted.pop(name, None)
            log.warning("%s could not be noted as connected: %s", name, error.message)


CONNECTED = web.AppKey("connected_users", ConnectedUsers)
