"""When messages are sent through a hosted SMS service: soon after they became pending, and every minute (45 §5)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import datetime
from functools import partial

import httpx

from core.config import Config
from core.couch.client import Couch
from core.credentials import find_credential
from core.errors import Unavailable
from core.settings import Settings
from core.sms_offers import OUR_GATEWAY, outgoing_service
from sentinel.configuration import Configuration
from sentinel.controls import Controls
from sentinel.lease import Lease
from sentinel.schedule.message_states import MessageStates
from sentinel.schedule.outgoing_messages import OutgoingMessages
from sentinel.schedule.sms_services import TIMEOUT, OutOfService, RapidPro, service_of

INTERVAL_S = 60.0

Run = Callable[[str, Callable[[], Awaitable[None]], float], Awaitable[object]]


class SmsJobs:
    """Two jobs beside the others, which do nothing while the settings leave sending to a gateway app.

    `run` does a job once and notes how it went.
    """

    def __init__(
        self,
        config: Config,
        couch: Couch,
        configuration: Configuration,
        lease: Lease,
        controls: Controls,
        now: Callable[[], datetime],
        run: Run,
        interval_s: float = INTERVAL_S,
    ) -> None:
        db = couch.db(config.database)
        self.vault = couch.db(config.db_name("vault"))
        self.configuration = configuration
        self.controls = controls
        self.run = run
        self.interval_s = interval_s
        self.outgoing = OutgoingMessages(db, now, lease.check)
        self.states = MessageStates(db, now, lease.check)
        self._client: httpx.AsyncClient | None = None
        self._processed = asyncio.Event()

    def changes_processed(self) -> None:
        """Some of what was processed just now may be pending (REC-6)."""
        self._processed.set()

    async def keep_sending(self) -> None:
        due_s = time.monotonic() + self.interval_s
        try:
            while True:
                is_time = await self.controls.until_rung_or(self._processed, due_s - time.monotonic())
                self._processed.clear()
                if is_time:
                    due_s = time.monotonic() + self.interval_s
                if outgoing_service(self.settings) != OUR_GATEWAY:
                    await self.run("outgoing_messages", partial(self.send, only_new=not is_time), self.interval_s)
        finally:
            if self._client is not None:
                await self._client.aclose()

    async def keep_asking(self) -> None:
        while True:
            await self.controls.until_rung(self.interval_s)
            if outgoing_service(self.settings) == RapidPro.name:
                await self.run("message_states", self.ask, self.interval_s)

    @property
    def settings(self) -> Settings:
        return self.configuration.tools.messenger.settings

    async def send(self, *, only_new: bool) -> None:
        service = service_of(self.settings)
        if service is not None:
            try:
                await self.outgoing.send(service, self.settings, await self.client(), self.secret, only_new=only_new)
            except OutOfService as failure:
                raise Unavailable(f"{service.name}: {failure}") from failure

    async def ask(self) -> None:
        try:
            await self.states.ask(RapidPro.from_settings(self.settings), await self.client(), self.secret)
        except OutOfService as failure:
            raise Unavailable(f"{RapidPro.name}: {failure}") from failure

    async def client(self) -> httpx.AsyncClient:
        if self._client is None:
            self._client = await asyncio.to_thread(httpx.AsyncClient, timeout=TIMEOUT)
        return self._client

    async def secret(self, key: str) -> str | None:
        return await find_credential(self.vault, key)
