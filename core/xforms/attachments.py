"""Attachments of form documents: written inline, and compared with what is stored."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field

from core.couch.client import Database, Doc
from core.errors import NotFound


@dataclass(frozen=True)
class Attachment:
    content_type: str
    data: bytes = field(repr=False)


def inline(file: Attachment) -> dict[str, str]:
    """As it stands in a document that is written."""
    return {"content_type": file.content_type, "data": base64.b64encode(file.data).decode()}


async def holds(db: Database, doc: Doc, name: str, data: bytes) -> bool:
    """Whether the stored document's attachment of that name has these bytes."""
    stub = (doc.get("_attachments") or {}).get(name)
    if not stub or stub.get("length") != len(data):
        return False
    try:
        return await db.attachment(doc["_id"], name, doc["_rev"]) == data
    except NotFound:
        return False
