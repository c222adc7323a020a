"""What a build would change, what that takes on the disk, and whether there is room for it (UPG-38, DDOC-93)."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import quote, urlsplit

from core.couch.client import Couch, Database, Doc
from core.errors import DiskFull, DomainError
from core.upgrades.staging import Databases

SPARE = 1.2  # of the indexes that are built anew: they grow while they are built
INDEX_MEMBERS = {"views": ("views", "language", "options"), "indexes": ("indexes", "nouveau")}


async def compare(dbs: Databases, bundle: Mapping[str, Sequence[Doc]]) -> list[Doc]:
    """Each design document of the bundle that is new or has other indexes than the running one.

    `{type, ddoc, db, indexing, size?}`: `type` is `["added"]` or what of it differs, `views` and `indexes`; `indexing`
    whether something is to be built; `size` the bytes of the indexes that run now.
    """
    found = await asyncio.gather(*(compare_in(db, bundle.get(role, [])) for role, db in dbs.items()))
    return [difference for differences in found for difference in differences]


async def compare_in(db: Database, ddocs: Sequence[Doc]) -> list[Doc]:
    rows = await db.all_docs([ddoc["_id"] for ddoc in ddocs], include_docs=True) if ddocs else []
    running = {row["id"]: row["doc"] for row in rows if row.get("doc")}
    differences = [found for ddoc in ddocs if (found := difference(running.get(ddoc["_id"]), ddoc, db.name))]
    for each in differences:
        if "added" not in each["type"]:
            each["size"] = await index_bytes(db, each["ddoc"])
    return differences


def difference(running: Doc | None, ddoc: Doc, database: str) -> Doc | None:
    indexes = bool(ddoc.get("views") or ddoc.get("indexes") or ddoc.get("nouveau"))
    if running is None:
        kinds = ["added"]
    else:
        kinds = [
            kind
            for kind, members in INDEX_MEMBERS.items()
            if [ddoc.get(name) or None for name in members] != [running.get(name) or None for name in members]
        ]
    return {"type": kinds, "ddoc": ddoc["_id"], "db": database, "indexing": indexes} if kinds else None


async def index_bytes(db: Database, ddoc_id: str) -> int:
    """The size of a design document's index files, 0 where CouchDB does not tell."""
    try:
        info: Doc = await db.request("GET", f"/_design/{quote(ddoc_id.removeprefix('_design/'), safe='')}/_info")
        return int(info["view_index"]["sizes"]["file"])
    except (DomainError, KeyError, TypeError):
        return 0


def needed_bytes(differences: Iterable[Mapping[str, Any]]) -> int:
    return int(SPARE * sum(each.get("size", 0) for each in differences))


async def free_bytes(couch: Couch) -> int | None:
    """What is free where CouchDB keeps its indexes; None when CouchDB is on another machine, which does not tell."""
    if urlsplit(couch.server_url).hostname not in ("127.0.0.1", "::1", "localhost"):
        return None
    try:
        folder = await couch.request("GET", "/_node/_local/_config/couchdb/view_index_dir")
        return (await asyncio.to_thread(shutil.disk_usage, folder)).free
    except (DomainError, OSError, TypeError):
        return None


def check_space(needed: int, free: int | None) -> None:
    """DiskFull, telling both, when the indexes of an upgrade have no room beside the running ones."""
    if free is not None and free < needed:
        raise DiskFull(
            f"The new indexes need {megabytes(needed)} beside the running ones and {megabytes(free)} are free: "
            "make room, or send `force: true`",
            needed_bytes=needed,
            free_bytes=free,
        )


def megabytes(size: int) -> str:
    return f"{size / 2**20:.1f} MiB"
