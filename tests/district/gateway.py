"""An SMS gateway on a bad line: it loses answers, hangs up, repeats itself, and forgets nothing."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import aiohttp

Doc = dict[str, Any]

MOST_MESSAGES = 10
MOST_UPDATES = 20
STATUSES = ("UNSENT", "PENDING", "SENT", "DELIVERED")


@dataclass
class Gateway:
    """`sent` is what it was given to send, `{id: (to, content)}`; an id it has already is ignored, as the app does.

    `chance` None is a perfect line.
    """

    session: aiohttp.ClientSession
    url: str
    chance: random.Random | None = None
    inbox: deque[Doc] = field(default_factory=deque)
    updates: deque[Doc] = field(default_factory=deque)
    sent: dict[str, tuple[str, str]] = field(default_factory=dict)
    fresh: list[tuple[str, str]] = field(default_factory=list)
    losses: int = 0

    def receive(self, message_id: str, sender: str, content: str) -> None:
        self.inbox.append({"id": message_id, "from": sender, "content": content})

    async def exchange(self) -> bool:
        """One post; what it brought is kept when its answer came. False when there was nothing to say or to send."""
        messages = list(self.inbox)[:MOST_MESSAGES]
        updates = list(self.updates)[:MOST_UPDATES]
        answer = await self.post({"messages": messages, "updates": updates})
        if answer is None:
            self.losses += 1
            return True
        for _ in messages:
            self.inbox.popleft()
        for _ in updates:
            self.updates.popleft()
        self.accept(answer)
        return bool(messages or updates or answer)

    def accept(self, offered: Sequence[Doc]) -> None:
        for message in offered:
            if message["id"] not in self.sent:
                self.sent[message["id"]] = (message["to"], message["content"])
                self.fresh.append((message["to"], message["content"]))
                self.updates.extend({"id": message["id"], "status": status} for status in STATUSES)

    async def post(self, body: Doc) -> list[Doc] | None:
        """The messages of the answer, None when it was lost on the way."""
        trouble = self.chance.random() if self.chance else 1.0
        if self.chance and trouble < 0.1:
            with suppress(TimeoutError):  # hangs up while the server works
                async with asyncio.timeout(self.chance.uniform(0.0, 0.05)):
                    await self.answer(body)
            return None
        if trouble < 0.15:
            await asyncio.gather(self.answer(body), self.answer(body))
            return None
        answer = await self.answer(body)
        return None if trouble < 0.3 else answer

    async def answer(self, body: Doc) -> list[Doc] | None:
        async with self.session.post(f"{self.url}/api/sms", json=body) as response:
            if response.status != 200:
                return None
            messages: list[Doc] = (await response.json())["messages"]
            return messages
