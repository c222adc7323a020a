"""Builds that differ from the program's own in one view, and waiting for what becomes of an upgrade."""

from __future__ import annotations

import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import orjson

from core.couch.ddocs import FOLDER
from core.upgrades.builds import make_build
from tests.conftest import eventually

VIEW = "medic/medic-client/views/contacts_by_type"


def put_build(builds: Path, version: str, map_function: str = "function (doc) { emit(doc.type); }", **info: Any) -> Any:
    """Put a build into the folder whose `medic-client/contacts_by_type` is another; the body that asks for it."""
    ddocs = builds / "ddocs"
    shutil.copytree(FOLDER, ddocs, dirs_exist_ok=True)
    (ddocs / VIEW / "map.js").write_text(f"/* {version} */\n{map_function}")
    doc = make_build(ddocs, version=version, **info)
    (builds / f"{version}.json").write_bytes(orjson.dumps(doc))
    shutil.rmtree(ddocs)
    return {"build": {"namespace": "medic", "application": "medic", "version": version}}


async def reached(log: Callable[[], Awaitable[Any]], state: str, within_s: float = 20) -> Any:
    """The log document once it is in that state; fails at once when it ends otherwise."""

    async def there() -> Any:
        doc = await log()
        assert doc is None or doc["state"] in (state, *NOT_OVER), (doc["state"], doc.get("error"))
        return doc if doc is not None and doc["state"] == state else None

    return await eventually(there, within_s)


NOT_OVER = (
    *("initiated", "staged", "indexing", "indexed", "interrupted", "completing", "complete", "finalizing", "aborting"),
)
