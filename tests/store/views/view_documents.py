"""What the tests of views share: a database as views see it, design documents, and a query."""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import orjson

from store.source import Winner
from store.view_query import ViewParams
from store.views import Views


class Documents:
    """A database as views see it."""

    def __init__(self) -> None:
        self._winners: dict[str, Winner] = {}
        self._seq = 0
        self.gate = threading.Event()
        self.gate.set()
        self.reads_from_start = 0

    def put(self, doc_id: str, *, conflicts: tuple[str, ...] = (), **members: Any) -> None:
        self._seq += 1
        body = orjson.dumps({"_id": doc_id, "_rev": f"{self._seq}-a", **members})
        self._winners.pop(doc_id, None)
        self._winners[doc_id] = Winner(self._seq, doc_id, False, body, conflicts)

    def delete(self, doc_id: str) -> None:
        self._seq += 1
        self._winners.pop(doc_id, None)
        self._winners[doc_id] = Winner(self._seq, doc_id, True, b"")

    def winners_since(self, seq: int, limit: int) -> list[Winner]:
        self.gate.wait(10)
        self.reads_from_start += seq == 0
        return list(itertools.islice((winner for winner in self._winners.values() if winner.seq > seq), limit))

    def update_seq(self) -> int:
        return self._seq

    def docs_by_id(self, ids: Sequence[str]) -> dict[str, bytes | None]:
        found = {id_: self._winners[id_] for id_ in ids if id_ in self._winners}
        return {id_: None if winner.deleted else winner.body for id_, winner in found.items()}


def ddoc(name: str = "d", lib: dict[str, Any] | None = None, **functions: Any) -> dict[str, Any]:
    """A design document whose views are given as `name="map"` or `name=("map", "reduce")`."""
    definitions: dict[str, Any] = {} if lib is None else {"lib": lib}
    for view, source in functions.items():
        definitions[view] = {"map": source} if isinstance(source, str) else {"map": source[0], "reduce": source[1]}
    return {"_id": f"_design/{name}", "language": "javascript", "views": definitions}


KEYED = "function (doc) { emit(doc.key, doc.value); }"


async def query(
    views: Views, design: dict[str, Any], view: str = "v", body: dict[str, Any] | None = None, **options: Any
) -> dict[str, Any]:
    """The parsed answer; options that are not text are written as JSON."""
    texts = [
        (name, value if isinstance(value, str) else orjson.dumps(value).decode()) for name, value in options.items()
    ]
    result = await views.query(design, view, ViewParams.parse(texts, body))
    return dict(orjson.loads(b"".join([piece async for piece in result.body()])))


async def until(condition: Callable[[], bool]) -> None:
    """Let others run until something is so; the test's own time limit ends a wait in vain."""
    while not condition():  # noqa: ASYNC110
        await asyncio.sleep(0.001)


async def ids(views: Views, design: dict[str, Any], **options: Any) -> list[str]:
    return [row["id"] for row in (await query(views, design, **options))["rows"]]


def damage_index(folder: Path, content: bytes) -> None:
    [path] = folder.glob("*.view")
    path.write_bytes(content)
    Path(f"{path}.building").write_bytes(b"left by a process that was killed")
