"""`outpost index --rebuild`: a new index takes the place of the old one while everything runs."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from api.access.index import AccessIndex
from api.access.rebuild import rebuild
from api.access.rules import Scope
from core.config import Config
from core.couch.client import Couch, Database
from core.purging import purge_db_prefix
from tests.conftest import eventually

SCOPE = Scope(user_id=None, facilities=("H1",), role_set="roles")
H1 = {"_id": "H1", "type": "health_center"}


def visit(doc_id: str) -> dict[str, Any]:
    return {"_id": doc_id, "type": "data_record", "form": "visit", "fields": {"patient_id": "H1"}}


@pytest.fixture
async def index(config: Config) -> AsyncIterator[AccessIndex]:
    index = AccessIndex(config.access_index)
    yield index
    await index.close()


async def own(index: AccessIndex) -> set[str]:
    return {row["id"] for row in (await index.allowed(SCOPE)).rows() if row["id"][0] in "HR"}


async def test_a_rebuilt_index_says_the_same_and_is_followed_on(
    indexer: Any, index: AccessIndex, db: Database, couch: Couch, config: Config
) -> None:
    purged = couch.db(purge_db_prefix(config.database) + "roles")
    await purged.create()
    await purged.put({"_id": "purged:R2"})
    await db.bulk_docs([H1, visit("R1"), visit("R2")])
    await index.catch_up(db, most_s=30)
    epoch = (await index.state()).epoch
    heard: list[tuple[int, int]] = []

    changes = await rebuild(config, lambda done, left: heard.append((done, left)))

    assert heard[-1] == (changes, 0)
    assert (await index.state()).epoch != epoch
    assert await own(index) == {"H1", "R1"}
    await db.put(visit("R3"))

    async def followed() -> bool:
        return await own(index) == {"H1", "R1", "R3"}

    await eventually(followed)
    assert not (config.data / "access-new.sqlite").exists()


async def test_the_command_tells_how_far_it_came(couch: Couch, db: Database, config: Config, tmp_path: Path) -> None:
    await db.bulk_docs([H1, visit("R1")])
    env = {"PATH": os.environ["PATH"], "COUCH_URL": str(config.couch_url), "OUTPOST_DATA": str(tmp_path / "other")}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "outpost", "index", "--rebuild", env=env, stderr=asyncio.subprocess.PIPE
    )

    _, said = await process.communicate()

    assert process.returncode == 0
    assert "changes in" in said.decode()
    built = AccessIndex(tmp_path / "other" / "access.sqlite")
    assert await own(built) == {"H1", "R1"}
    await built.close()
