"""Jobs of moving documents out of the main database into the archive: `archive:<uuid>` documents (40 §13)."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from datetime import datetime

from core.couch.client import Database, Doc
from core.couch.errors import from_row
from core.dates import iso_of, ms_of
from core.uuids import uuid7

PREFIX = "archive:"
MOST_IDS = 100_000  # of one job
IDS = "ids"  # the attachment that holds them, one a line


def ids_in(text: str) -> list[str]:
    """The ids of a CSV of one column, each once, in order: quotes around one and blank lines do not count."""
    return list(dict.fromkeys(each for line in text.splitlines() if (each := unquoted(line.strip()))))


def unquoted(text: str) -> str:
    return text[1:-1].strip() if len(text) >= 2 and text[0] == text[-1] == '"' else text


async def create_jobs(sentinel_db: Database, ids: Sequence[str], now: datetime) -> list[Doc]:
    """Store as many jobs as the ids need; the worker takes them in order. `[{id, count}]`."""
    jobs = [job(ids[start : start + MOST_IDS], now) for start in range(0, len(ids), MOST_IDS)]
    for row in await sentinel_db.bulk_docs(jobs):
        if failure := from_row(row):
            raise failure
    return [{"id": each["_id"], "count": each["total"]} for each in jobs]


def job(ids: Sequence[str], now: datetime) -> Doc:
    data = base64.b64encode("\n".join(ids).encode()).decode()
    return {
        "_id": f"{PREFIX}{uuid7(ms_of(now))}",
        "type": "archive",
        "date": iso_of(now),
        "total": len(ids),
        "cursor": 0,
        "history": [],
        "error_count": 0,
        "_attachments": {IDS: {"content_type": "text/plain", "data": data}},
    }
