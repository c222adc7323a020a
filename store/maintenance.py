"""What an operator does with a data folder from outside: check every file, copy it while the store runs."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote, unquote

from store.registry import FILE_SUFFIX

_BESIDE = ("cookie-secret", "config.json")  # files of a data folder that a backup needs too


class Finding(NamedTuple):
    """What was found of one file. `trouble` is None when it is whole."""

    name: str
    trouble: str | None


def check(data: Path) -> Iterator[Finding]:
    """Check every database and view index of a data folder, one after the other; a running store is not disturbed.

    Raises FileNotFoundError when there is no store in the folder.
    """
    _require_store(data)
    for path in _databases(data):
        trouble = _trouble(path)
        if path.exists():  # else it was deleted meanwhile
            yield Finding(_database_name(path), trouble)
    for path in sorted((data / "indexes").glob("*/*.view")):
        trouble = _trouble(path)
        if path.exists():
            note = f"{trouble}; delete the file, it is built anew" if trouble else None
            yield Finding(f"index {path.relative_to(data / 'indexes')}", note)


def backup(data: Path, target: Path) -> Iterator[Finding]:
    """Copy every database to a new folder that a store can be started on; each is consistent at its own moment.

    Works beside a running store and does not hold up its writes. View indexes are left out: they are built anew.
    Raises FileNotFoundError when there is no store in the folder, FileExistsError unless `target` is new or empty.
    """
    _require_store(data)
    target.mkdir(mode=0o700, parents=True, exist_ok=True)
    if any(target.iterdir()):
        raise FileExistsError(f"The folder {target} is not empty; a backup needs a folder of its own.")
    (target / "databases").mkdir()
    for path in _databases(data):
        trouble = None
        try:
            _copy(path, target / "databases" / path.name)
        except (sqlite3.Error, OSError) as error:
            trouble = str(error)
        if path.exists():
            yield Finding(_database_name(path), trouble)
    for name in _BESIDE:
        with contextlib.suppress(FileNotFoundError):
            shutil.copy2(data / name, target / name)


def _require_store(data: Path) -> None:
    if not (data / "databases").is_dir():
        raise FileNotFoundError(f"There is no store in {data}.")


def _databases(data: Path) -> list[Path]:
    return sorted((data / "databases").glob(f"*{FILE_SUFFIX}"))


def _database_name(path: Path) -> str:
    return unquote(path.name.removesuffix(FILE_SUFFIX))


def _connect(path: Path) -> sqlite3.Connection:
    """An existing file. Not opened for reading alone: what a crash left in the log has to be brought in first."""
    conn = sqlite3.connect(f"file:{quote(str(path))}?mode=rw", uri=True, isolation_level=None, timeout=30)
    conn.execute("PRAGMA query_only = ON")
    return conn


def _trouble(path: Path) -> str | None:
    """The first thing SQLite finds wrong with a file."""
    try:
        with contextlib.closing(_connect(path)) as conn:
            found: str = conn.execute("PRAGMA quick_check(1)").fetchone()[0]
    except sqlite3.Error as error:
        return str(error)
    return None if found == "ok" else found.replace("\n", " ")


def _copy(path: Path, target: Path) -> None:
    """Copy one database in one step, which sees one moment of it however long it takes; on disk when it returns."""
    draft = target.with_suffix(".new")
    with contextlib.closing(_connect(path)) as source, contextlib.closing(sqlite3.connect(draft)) as copy:
        source.backup(copy, pages=-1)
    handle = os.open(draft, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
    os.replace(draft, target)
