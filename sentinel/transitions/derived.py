"""Identifiers derived from a document, so that doing the same work twice ends in the same place (40 TRN-10)."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable
from typing import Any

from core.documents import Doc
from core.sms_tasks import messages_of, tasks_of, tasks_to_send

NAMESPACE = uuid.UUID("7e1c9a52-7a4c-5f0e-9a0b-2f6f1f0c8d31")


def derived_id(source_id: str, *parts: str | int) -> str:
    """The `_id` of a document that a transition creates for the source document (UUID version 5)."""
    return str(uuid.uuid5(NAMESPACE, "/".join((source_id, *map(str, parts)))))


def derived_message_uuid(source_id: str, *parts: str | int, at_ms: int = 0) -> str:
    """A UUID of version 7, as messages have (MSG-2), with a hash in the place of chance."""
    digest = hashlib.sha256("/".join((source_id, *map(str, parts))).encode()).digest()
    value = (at_ms & 0xFFFFFFFFFFFF) << 80 | int.from_bytes(digest[:10], "big")
    value = value & ~(0xF << 76) | 7 << 76
    value = value & ~(0x3 << 62) | 2 << 62
    return str(uuid.UUID(int=value))


def once(doc: Doc, add: Callable[[], Any], *parts: str | int) -> None:
    """Let `add` append its message to the document unless it did so on an earlier run.

    The message is known by its uuid, made from the document and `parts`: its text may depend on the time, its state
    on what the gateway did since.
    """
    reported = doc.get("reported_date")
    at_ms = reported if isinstance(reported, int) and reported > 0 else 0
    wanted = derived_message_uuid(str(doc.get("_id")), *parts, at_ms=at_ms)
    if any(message.get("uuid") == wanted for task in tasks_of(doc) for message in messages_of(task)):
        return
    before = len(tasks_to_send(doc))
    add()
    for task in tasks_to_send(doc)[before:]:
        for message in messages_of(task):
            message["uuid"] = wanted
