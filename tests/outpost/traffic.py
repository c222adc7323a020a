"""What phones and an SMS gateway do all the time, and every request of theirs that failed."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx

from tests.outpost.branch import report

PASSWORD = "Blue-kite-77"
PAUSE_S = 0.05
FEED_MS = 10_000


class Traffic:
    """Requests to `url`: phones of health center 0, which write and read, held feeds, a gateway."""

    def __init__(self, url: str, database: str, admin: tuple[str, str], user: tuple[str, str]) -> None:
        self.url, self.database = url, database
        self.admin, self.user = admin, user
        self.failures: list[str] = []
        self.written: set[str] = set()
        self.messages: set[str] = set()
        self.requests = 0
        self.longest_s = 0.0
        self.stopped = asyncio.Event()

    @asynccontextmanager
    async def running(self, phones: int = 4, feeds: int = 2) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(self.phone(number)) for number in range(phones)]
        tasks += [asyncio.create_task(self.feed()) for _ in range(feeds)]
        tasks.append(asyncio.create_task(self.gateway()))
        try:
            yield
        finally:
            self.stopped.set()
            await asyncio.gather(*tasks)

    async def phone(self, number: int) -> None:
        """Write a report, read it back, look for changes; as a phone does it, on kept connections."""
        since = "0"
        async with self.client(self.user) as http:
            while not self.stopped.is_set():
                doc = report(f"up-{number}-{secrets.token_hex(6)}", 0)
                if await self.send(http, "POST", f"/{self.database}/_bulk_docs", json={"docs": [doc]}):
                    self.written.add(doc["_id"])
                    await self.send(http, "GET", f"/{self.database}/{doc['_id']}")
                query = {"since": since, "limit": 100, "feed": "normal"}
                answer = await self.send(http, "GET", f"/{self.database}/_changes", params=query)
                since = answer.json()["last_seq"] if answer else since
                await asyncio.sleep(PAUSE_S)

    async def feed(self) -> None:
        """A feed that is held until something comes."""
        since = "now"
        async with self.client(self.user) as http:
            while not self.stopped.is_set():
                query = {"since": since, "feed": "longpoll", "timeout": FEED_MS, "heartbeat": 1000, "limit": 1000}
                answer = await self.send(http, "GET", f"/{self.database}/_changes", held=True, params=query)
                since = answer.json()["last_seq"] if answer else since

    async def gateway(self) -> None:
        async with self.client(self.admin) as http:
            while not self.stopped.is_set():
                message = {"id": f"up-{secrets.token_hex(6)}", "from": "+254711000101", "content": "hello"}
                if await self.send(http, "POST", "/api/sms", json={"messages": [message]}):
                    self.messages.add(message["id"])
                await asyncio.sleep(2 * PAUSE_S)

    def client(self, login: tuple[str, str]) -> httpx.AsyncClient:
        headers = {"Accept": "application/json"}
        return httpx.AsyncClient(base_url=self.url, auth=login, timeout=60, headers=headers)

    async def send(
        self, http: httpx.AsyncClient, method: str, path: str, *, held: bool = False, **options: Any
    ) -> httpx.Response | None:
        """The answer, None when there is none or it is a refusal; rows of `_bulk_docs` count too."""
        started = time.monotonic()
        self.requests += 1
        try:
            answer = await http.request(method, path, **options)
            rows = answer.json() if path.endswith("_bulk_docs") else []
            trouble = f"{answer.status_code} {answer.text[:200]}" if answer.status_code >= 400 else None
            trouble = trouble or next((str(row) for row in rows if "error" in row), None)
        except (httpx.HTTPError, ValueError) as error:
            answer, trouble = None, repr(error)
        if not held:
            self.longest_s = max(self.longest_s, time.monotonic() - started)
        if trouble:
            self.failures.append(f"{method} {path}: {trouble}")
        return None if trouble else answer

    async def lost(self, http: httpx.AsyncClient) -> list[str]:
        """What was acknowledged and is not there."""
        rows = (await http.post(f"/{self.database}/_all_docs", json={"keys": sorted(self.written)})).json()["rows"]
        missing = [row["key"] for row in rows if "error" in row]
        view = f"/{self.database}/_design/medic-sms/_view/messages_by_gateway_ref"
        found = (await http.post(view, json={"keys": sorted(self.messages)})).json()["rows"]
        return missing + sorted(self.messages - {row["key"] for row in found})
