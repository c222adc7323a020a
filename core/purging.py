"""Names of the databases in which purged documents are marked, one for each set of roles (20 §8)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import orjson

MARKER = "purged:"  # the prefix of a marker's id, before the id of the purged document


def role_set_hash(roles: Iterable[str]) -> str | None:
    """The role set's part of its purge database's name; None without roles: nothing is purged then (REPL-57).

    MD5 of the JSON array of the unique roles in order of their UTF-16 code units (REPL-55, 40 V-4).
    """
    unique = sorted(set(roles), key=lambda role: role.encode("utf-16-be", "surrogatepass"))
    return hashlib.md5(orjson.dumps(unique), usedforsecurity=False).hexdigest() if unique else None


def purge_db_prefix(database: str) -> str:
    """What the purge databases of that main database begin with; the hash follows."""
    return f"{database}-purged-role-"
