"""Translate CouchDB's answers and the network's failures into our errors, where they enter."""

from __future__ import annotations

from typing import Any

import aiohttp
import orjson

from core.errors import BY_STATUS, DomainError, Unanswered, Unavailable


def from_answer(status: int, body: bytes) -> DomainError:
    """The error CouchDB means by a status of 400 or more; its `reason` is the message."""
    try:
        answer: Any = orjson.loads(body)
    except orjson.JSONDecodeError:
        answer = {}
    answer = answer if isinstance(answer, dict) else {}
    reason = answer.get("reason") or answer.get("error") or f"CouchDB answered {status}"
    if answer.get("error") == "timeout":  # with a status of 500: it waited too long for its own shards
        return Unavailable("CouchDB did not answer in time")
    kind = BY_STATUS.get(status)
    if kind is None:
        return DomainError(f"CouchDB answered {status}: {reason}")
    return kind(str(reason))


def from_network(error: Exception) -> DomainError:
    """CouchDB did not answer: refused, dropped or too slow."""
    if isinstance(error, TimeoutError):
        return Unavailable("CouchDB did not answer in time")
    if isinstance(error, aiohttp.ClientConnectorError):
        return Unavailable("CouchDB cannot be reached")
    return Unanswered(f"The connection to CouchDB failed: {error or type(error).__name__}")


def from_row(row: dict[str, Any]) -> DomainError | None:
    """The failure of one member of a `_bulk_docs` answer; None when it was written."""
    if "error" not in row:
        return None
    by_slug = {kind.slug: kind for kind in BY_STATUS.values()}
    kind = by_slug.get(str(row["error"]), DomainError)
    return kind(str(row.get("reason") or row["error"]), id=row.get("id"))
