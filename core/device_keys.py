"""Keys by which shared devices fetch and submit forms as one account, without its password (50 OR-42).

The vault keeps a digest of each; the key itself is told once, when it is made.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from typing import Any

from core.couch.client import Database, Doc
from core.errors import NotFound

PREFIX = "openrosa-key:"
KEY = re.compile(r"[0-9a-f]{64}")
ID = re.compile(r"[0-9a-f]{64}")


async def make_key(vault: Database, username: str, label: str, now_ms: int) -> tuple[str, Doc]:
    """A new key of the account, and what is kept of it."""
    key = secrets.token_hex(32)
    doc = {"username": username, "label": label, "created": now_ms}
    await vault.put({"_id": PREFIX + digest_of(key), "type": "openrosa-key", **doc})
    return key, {"id": digest_of(key), **doc}


async def list_keys(vault: Database) -> list[dict[str, Any]]:
    """`{id, username, label, created}` of every key, the newest first."""
    rows = await vault.all_docs(startkey=PREFIX, endkey=f"{PREFIX}\ufff0", include_docs=True)
    found = [shown(row["doc"]) for row in rows]
    return sorted(found, key=lambda each: each["created"], reverse=True)


async def revoke_key(vault: Database, key_id: str) -> None:
    """NotFound."""
    doc = await vault.find(PREFIX + key_id) if ID.fullmatch(key_id) else None
    if doc is None:
        raise NotFound(f"There is no key {key_id[:80]}")
    await vault.delete(doc["_id"], doc["_rev"])


async def username_of(vault: Database, key: str) -> str | None:
    """The account that a key stands for; None when there is no such key."""
    doc = await vault.find(PREFIX + digest_of(key)) if KEY.fullmatch(key) else None
    return None if doc is None else str(doc["username"])


def shown(doc: Doc) -> dict[str, Any]:
    return {"id": doc["_id"].removeprefix(PREFIX), **{name: doc[name] for name in ("username", "label", "created")}}


def digest_of(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()
