"""The settings and translations the worker runs by, followed live; wrong settings suspend it, loudly (40 SEN-5, 16)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterable, Awaitable, Callable, Collection
from datetime import datetime

from core.couch.changes import Change
from core.couch.client import Database
from core.errors import InvalidInput
from core.messages import DuplicateGuard
from core.settings import SETTINGS_ID, Settings
from core.translations import Translations, load_translations
from sentinel.transitions import Transitions, load, make_tools
from sentinel.transitions.tools import Tools

log = logging.getLogger(__name__)


class Configuration:
    """`transitions` is None while the settings are wrong; `errors` then says why. `tools` always works."""

    def __init__(self, db: Database, now: Callable[[], datetime]) -> None:
        self.db = db
        self.now = now
        self.errors: list[str] = []
        self.transitions: Transitions | None = None
        self.tools: Tools
        self._duplicates = DuplicateGuard(now)
        self._usable = asyncio.Event()

    async def reload(self) -> None:
        settings = Settings.from_doc(await self.db.find(SETTINGS_ID))
        self.adopt(settings, await load_translations(self.db))

    def adopt(self, settings: Settings, translations: Translations) -> None:
        """Work by these from the next batch on, or not at all while they are wrong."""
        self.tools = make_tools(settings, translations, self.now, self._duplicates)
        try:
            self.transitions = load(settings, self.tools)
            self.errors = []
            self._usable.set()
            log.info("transitions: %s", ", ".join(each.name for each in self.transitions.ordered) or "none enabled")
        except InvalidInput as error:
            self.transitions = None
            self.errors = list(error.details.get("errors") or [error.message])
            self._usable.clear()
            log.error("no change is processed until the settings are corrected: %s", "; ".join(self.errors))

    async def usable(self) -> Transitions:
        """The transitions of this moment; waits while the settings are wrong."""
        while self.transitions is None:
            await self._usable.wait()
        return self.transitions

    async def follow(self, changes: AsyncIterable[Collection[Change]], announce: Callable[[], Awaitable[None]]) -> None:
        """Reload on every change of what `is_read`, and announce it."""
        async for _ in changes:
            await self.reload()
            await announce()


def is_read(doc_id: str) -> bool:
    """Whether the document is the settings or a translation."""
    return doc_id == SETTINGS_ID or doc_id.startswith("messages-")
