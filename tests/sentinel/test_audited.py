"""What the worker writes is noted beside what the API does (40 SEN-22)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest

from core.config import Config
from core.couch.client import Couch, Database, Doc
from core.couch.databases import ensure_databases
from sentinel.worker import run_worker
from tests.conftest import eventually
from tests.sentinel.conftest import Clock, Deployment


@pytest.fixture
async def audit_db(config: Config, couch: Couch, deployment: Deployment, clock: Clock) -> AsyncIterator[Database]:
    """The audit database, beside a running worker."""
    config = replace(config, audit=True)
    await ensure_databases(config)
    task = asyncio.create_task(run_worker(config, asyncio.Event(), now=clock))
    yield couch.db(config.db_name("audit"))
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def test_worker_notes_what_it_wrote(
    deployment: Deployment, audit_db: Database, config: Config, preg: Callable[..., Doc], clock: Clock
) -> None:
    await deployment.store(preg("r1"))

    async def noted() -> Any:
        people = await deployment.created_by("r1")
        ids = ["r1", *(person["_id"] for person in people)]
        found = await audit_db.get_many(ids)
        return found if len(found) == 2 else None

    audited = await eventually(noted)
    for doc_id, doc in audited.items():
        stored = await deployment.db.get(doc_id)
        [entry] = doc["history"]
        assert entry["rev"] == stored["_rev"]
        assert (entry["service"], entry["user"]) == ("sentinel", config.couch_admin[0])
        assert entry["request_id"] is None
