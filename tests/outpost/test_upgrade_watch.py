"""What the supervisor notes in the log of an upgrade."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from core.config import Config
from core.couch.client import Couch, Database
from outpost.upgrades import UpgradeWatch
from tests.conftest import eventually


async def test_only_who_has_replaced_its_processes_says_so(couch: Couch, config: Config, db: Database) -> None:
    logs = couch.db(config.db_name("logs"))
    await logs.create()
    results: Iterator[bool] = iter((False, True))

    async def replace_all() -> bool:
        return next(results)

    watch = UpgradeWatch(couch, config, replace_all)
    await watch.begin()
    following = asyncio.create_task(watch.follow())
    found = []
    for version in ("1", "2"):
        doc_id = f"upgrade_log:170000000000{version}:{version}"
        await logs.put({"_id": doc_id, "state": "finalized", "action": "upgrade", "to": version})

        async def seen(doc_id: str = doc_id) -> bool:
            return doc_id in watch.done

        assert await eventually(seen)
        found.append(doc_id)

    async def noted() -> bool:
        return "replaced" in await logs.get(found[1])

    assert await eventually(noted)
    assert "replaced" not in await logs.get(found[0])
    following.cancel()
