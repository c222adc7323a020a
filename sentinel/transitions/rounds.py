"""Let the questions of many concurrent changes go to the database together, one read for each kind."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Coroutine, Hashable, Iterable, Mapping, Sequence
from typing import Any

from core.errors import DomainError, Unavailable

# Reads the answers to several keys at once; a missing key means no answer.
Read = Callable[[Sequence[Any]], Awaitable[Mapping[Any, Any]]]


class Unanswered(Exception):
    """A read failed though CouchDB is there: not the document's fault, so the change has to be tried again."""


class Rounds:
    """Runs coroutines in step: their questions are collected until every one waits for an answer or has ended.

    So the number of reads depends on how many questions one change asks in a row, not on the number of changes.
    """

    def __init__(self) -> None:
        self._active = 0
        self._asked: list[tuple[Read, Hashable, asyncio.Future[Any]]] = []
        self._reading: asyncio.Task[None] | None = None

    async def run(self, works: Iterable[Coroutine[Any, Any, None]]) -> list[BaseException | None]:
        """Run all to their end: the failure of each, or None."""
        works = list(works)
        self._active += len(works)
        try:
            return await asyncio.gather(*(self._in_step(work) for work in works), return_exceptions=True)
        finally:
            for work in works:  # told to stop before their turn came
                if inspect.getcoroutinestate(work) == inspect.CORO_CREATED:
                    work.close()

    async def _in_step(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        finally:
            self._active -= 1
            self._begin()

    async def ask(self, read: Read, key: Hashable) -> Any:
        """The answer to one question, None when there is none. Raises Unavailable or Unanswered."""
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._asked.append((read, key, answer))
        self._begin()
        return await answer

    def _begin(self) -> None:
        if self._asked and len(self._asked) >= self._active and self._reading is None:
            asked, self._asked = self._asked, []
            self._reading = asyncio.create_task(self._read(asked))

    async def _read(self, asked: list[tuple[Read, Hashable, asyncio.Future[Any]]]) -> None:
        """One read of each kind, all at once; nobody goes on before the last has come, so that all stay in step."""
        keys: dict[Read, dict[Hashable, None]] = {}
        for read, key, _ in asked:
            keys.setdefault(read, {})[key] = None
        answers = await asyncio.gather(*(read(list(wanted)) for read, wanted in keys.items()), return_exceptions=True)
        by_read = dict(zip(keys, answers, strict=True))
        self._reading = None
        for read, key, answer in asked:
            if answer.done():
                continue
            found = by_read[read]
            if isinstance(found, Exception):
                answer.set_exception(unanswered(found))
            elif isinstance(found, BaseException):
                answer.cancel()
            else:
                answer.set_result(found.get(key))
        asyncio.get_running_loop().call_soon(self._begin)


def unanswered(error: Exception) -> Exception:
    """An outage as it is; anything else as Unanswered."""
    if isinstance(error, DomainError) and error.status >= 500:
        return Unavailable(error.message)
    failure = Unanswered(f"{type(error).__name__}: {error}")
    failure.__cause__ = error
    return failure
