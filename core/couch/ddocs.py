"""Design documents: read from the files of the `ddocs` folder and brought up to date in a database."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

import core
from core.couch.client import Database, Doc
from core.couch.errors import from_row
from core.errors import Conflict

# Beside `core`, in a checkout as in an installed package.
FOLDER = Path(core.__file__).resolve().parents[1] / "ddocs"

# The CHT version whose clients find here all they ask for (65 CONF-7); the first part of our builds' version.
CHT_VERSION = "5.0.0"


def load_bundle(folder: Path = FOLDER, *, legacy: bool = False, version: str | None = None) -> dict[str, list[Doc]]:
    """Read every design document: database role (`medic`, `sentinel`, `logs`, ...) -> documents without `_rev`.

    `medic` is the main database and `user-meta` each user's own, whatever their names; `users` is `_users`.
    `legacy` adds the views that only clients before CHT 5 query (DDOC-88). All documents carry the same `version`,
    unless given one which changes when anything in the folder or the package version does (DDOC-2), and their own
    `digest`. Raises FileNotFoundError naming the file when a folder is incomplete.
    """
    contents = read_folder(folder, legacy=legacy)
    version = version or version_of(contents if legacy else read_folder(folder, legacy=True))
    build_info = {
        "namespace": "medic",
        "application": "medic",
        "version": version,
        "base_version": CHT_VERSION,
        "build": f"medic:medic:{version}",
        "time": newest_file_time(folder),
        "author": "outpost",
        "schema_version": 2,
    }
    return {
        role: [
            {**ddoc, "version": version, "build_info": build_info, "digest": digest([ddoc, version])} for ddoc in ddocs
        ]
        for role, ddocs in contents.items()
    }


def read_folder(folder: Path, *, legacy: bool) -> dict[str, list[Doc]]:
    contents = {
        database.name: [read_ddoc(ddoc, legacy=legacy) for ddoc in subfolders(database)]
        for database in subfolders(folder)
    }
    if not contents:
        raise FileNotFoundError(f"no design documents in {folder}")
    return contents


def version_of(contents: Mapping[str, list[Doc]]) -> str:
    """The version of the build that has these contents, legacy views among them: the same with and without these."""
    return f"{CHT_VERSION}+{core.__version__}.{digest(contents)[:12]}"


async def install(
    db: Database, ddocs: Sequence[Doc], *, deploy_info: Mapping[str, Any] | None = None, attempts: int = 5
) -> list[str]:
    """Write the design documents that are missing or different, and return their ids.

    One read and, when something is to be done, one write. `deploy_info` (`user`, `upgrade_log_id`, `timestamp`) is
    kept in what is written. When another process writes first, what it left is read and judged again.
    Raises Conflict when every attempt met one, and the DomainError of any other refusal.
    """
    written: list[str] = []
    for _ in range(attempts):
        pending = await outdated(db, ddocs)
        if not pending:
            return written
        if deploy_info is not None:
            pending = [{**ddoc, "deploy_info": dict(deploy_info)} for ddoc in pending]
        rows = await db.bulk_docs(pending)
        written += [row["id"] for row in rows if "error" not in row]
        failures = [failure for row in rows if (failure := from_row(row))]
        for failure in failures:
            if not isinstance(failure, Conflict):
                raise failure
        if not failures:
            return written
    raise Conflict(f"Other writers kept changing the design documents of {db.name}")


async def outdated(db: Database, ddocs: Sequence[Doc]) -> list[Doc]:
    """The documents whose stored copy is missing or has another digest, with the `_rev` they replace (UPG-3)."""
    rows = await db.all_docs([ddoc["_id"] for ddoc in ddocs], include_docs=True)
    stored = {row["id"]: row["doc"] for row in rows if row.get("doc")}
    pending = []
    for ddoc in ddocs:
        current = stored.get(ddoc["_id"])
        if current is None:
            pending.append(dict(ddoc))
        elif current.get("digest") != ddoc["digest"]:
            pending.append(replacing(current, ddoc))
    return pending


def replacing(current: Doc, ddoc: Doc) -> Doc:
    """The document in the place of the stored one, whose attachments, such as an application's files, stay."""
    kept = {"_attachments": current["_attachments"]} if "_attachments" in current else {}
    return {**kept, **ddoc, "_rev": current["_rev"]}


def read_ddoc(folder: Path, *, legacy: bool = False) -> Doc:
    """One design document of its folder: `_id`, `language`, `views` and, when there is one, `validate_doc_update`."""
    language = folder / "language"
    validate = folder / "validate_doc_update.js"
    views = read_views(folder / "views")
    if legacy:
        views |= read_views(folder / "legacy" / "views")
    ddoc: Doc = {
        "_id": f"_design/{folder.name}",
        "language": read_text(language).strip() if language.exists() else "javascript",
        "views": views,
    }
    if validate.exists():
        ddoc["validate_doc_update"] = read_text(validate)
    return ddoc


def read_views(folder: Path) -> dict[str, dict[str, str]]:
    """Each view's `map` and `reduce`: the text of `reduce.js`, or the built-in named in the file `reduce`."""
    views = {}
    for view in subfolders(folder):
        views[view.name] = {"map": read_text(view / "map.js")}
        if (view / "reduce.js").exists():
            views[view.name]["reduce"] = read_text(view / "reduce.js")
        elif (view / "reduce").exists():
            views[view.name]["reduce"] = read_text(view / "reduce").strip()
    return views


def subfolders(folder: Path) -> Iterable[Path]:
    if not folder.is_dir():
        return []
    return sorted(each for each in folder.iterdir() if each.is_dir() and not each.name.startswith(("_", ".")))


def read_text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def digest(content: Any) -> str:
    return hashlib.sha256(orjson.dumps(content, option=orjson.OPT_SORT_KEYS)).hexdigest()


def newest_file_time(folder: Path) -> str:
    """When the bundle last changed, as ISO 8601 in UTC."""
    newest_s = max(path.stat().st_mtime for path in folder.rglob("*") if path.is_file())
    return datetime.fromtimestamp(newest_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
