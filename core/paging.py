"""Pages over what CouchDB keeps in order: a cursor names the place to go on from, so pages stay stable (EP-CON-10)."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from core.couch.client import Database, Row
from core.errors import InvalidInput

DOCS_A_PAGE, MOST_DOCS = 100, 10_000
IDS_A_PAGE, MOST_IDS = 10_000, 100_000


@dataclass(frozen=True)
class Position:
    """Where a page begins: in which of the ranges that are walked one after the other, and at which document id."""

    number: int = 0
    doc_id: str | None = None


@dataclass(frozen=True)
class PageRequest:
    """What the client asks for; more than `most` at once is not given, the cursor goes on."""

    limit: int
    start: Position

    @classmethod
    def read(cls, limit: str | None, cursor: str | None, *, default: int, most: int) -> PageRequest:
        """From the texts of a query. InvalidInput."""
        if limit is None or limit == "":
            count = default
        elif limit.isascii() and limit.isdigit() and len(limit) < 16 and int(limit) > 0:
            count = min(int(limit), most)
        else:
            raise InvalidInput(f"The limit must be a positive integer: [{quoted(limit)}].")
        return cls(count, read_cursor(cursor))


# Rows of one range from a document id on (None: from its beginning), at most `limit` of them, each with its `id`.
ReadRange = Callable[[str | None, int], Awaitable[list[Row]]]


async def read_page(ranges: Sequence[ReadRange], asked: PageRequest) -> tuple[list[Row], str | None]:
    """The rows of a page and the cursor of the next one, None when this was the last."""
    if asked.start.number > len(ranges):
        return [], None
    rows: list[Row] = []
    for number in range(asked.start.number, len(ranges)):
        start = asked.start.doc_id if number == asked.start.number else None
        rows += await ranges[number](start, asked.limit + 1 - len(rows))
        if len(rows) > asked.limit:
            return rows[: asked.limit], write_cursor(Position(number, rows[asked.limit]["id"]))
    return rows, None


def view_range(db: Database, ddoc: str, view: str, key: Any, *, include_docs: bool = False) -> ReadRange:
    """The rows of a view under one key, by document id."""

    async def read(start: str | None, limit: int) -> list[Row]:
        place = {} if start is None else {"startkey_docid": start}
        options: dict[str, Any] = {"reduce": False, "include_docs": include_docs, "limit": limit, **place}
        return await db.view(ddoc, view, startkey=key, endkey=key, **options)

    return read


def id_range(db: Database, prefix: str) -> ReadRange:
    """The documents whose id begins with `prefix`, in full."""

    async def read(start: str | None, limit: int) -> list[Row]:
        begin = max(start or prefix, prefix)  # a cursor that was tampered with leads to no other documents
        return await db.all_docs(startkey=begin, endkey=f"{prefix}\ufff0", limit=limit, include_docs=True)

    return read


def page_of_list(ids: Sequence[str], asked: PageRequest) -> tuple[Sequence[str], str | None]:
    """The part of a list of ids that a page is about, and the cursor of the next one."""
    end = asked.start.number + asked.limit
    return ids[asked.start.number : end], write_cursor(Position(end)) if end < len(ids) else None


def write_cursor(position: Position) -> str:
    return base64.urlsafe_b64encode(orjson.dumps([position.number, position.doc_id])).decode().rstrip("=")


def read_cursor(text: str | None) -> Position:
    if text is None or text in ("", "null"):
        return Position()
    try:
        number, doc_id = orjson.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except (ValueError, TypeError, binascii.Error):
        raise bad_cursor(text) from None
    if not isinstance(number, int) or isinstance(number, bool) or number < 0 or not isinstance(doc_id, str | None):
        raise bad_cursor(text)
    return Position(number, doc_id)


def bad_cursor(text: str) -> InvalidInput:
    return InvalidInput(f"The cursor must be a string or null for first page: [{quoted(text)}].")


def quoted(text: str) -> str:
    return orjson.dumps(text).decode()
