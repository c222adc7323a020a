"""A disk that takes no more: writes fail whole, reads go on, and writes too once there is room."""

from __future__ import annotations

import asyncio
import resource
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from pathlib import Path

import orjson
import pytest
from aiohttp import ClientSession

from tests.conftest import eventually
from tests.store.store_client import Client
from tests.store.test_store_durability import free_port, start

MIB = 1 << 20


@pytest.fixture
async def process(tmp_path: Path) -> AsyncIterator[tuple[Process, Client]]:
    """A store in a process of its own, whose files can be kept from growing."""
    port = free_port()
    async with ClientSession() as session:
        client = Client(session, f"http://127.0.0.1:{port}")
        process = await start(tmp_path, port, client)
        yield process, client
        process.terminate()
        await process.wait()


def let_files_grow_to(process: Process, size_bytes: int) -> None:
    _, hard = resource.prlimit(process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (size_bytes, hard))


async def test_full_disk_refuses_writes_whole_and_the_store_goes_on(process: tuple[Process, Client]) -> None:
    running, store = process
    await store.put("/db")
    await store.put("/db/before", {"n": 1})
    let_files_grow_to(running, 2 * MIB)

    batch = {"docs": [{"_id": f"batch-{n}", "text": "x" * 10_000} for n in range(400)]}
    answers = await asyncio.gather(
        store.post("/db/_bulk_docs", batch),
        store.put("/db/attached/f", data=b"y" * (3 * MIB)),
    )

    assert [(answer.status, answer.body["error"]) for answer in answers] == [(507, "insufficient_storage")] * 2
    assert [row["id"] for row in (await store.get("/db/_all_docs")).body["rows"]] == ["before"]
    assert (await store.get("/db")).body["doc_count"] == 1
    assert (await store.get("/_up")).status == 200

    let_files_grow_to(running, resource.RLIM_INFINITY)

    assert (await store.post("/db/_bulk_docs", batch)).status == 201
    assert (await store.put("/db/attached/f", data=b"y" * (3 * MIB))).status == 201
    assert (await store.get("/db")).body["doc_count"] == 402
    assert len((await store.get("/db/_changes")).body["results"]) == 402


async def test_database_that_finds_no_room_is_not_there(process: tuple[Process, Client], tmp_path: Path) -> None:
    running, store = process
    let_files_grow_to(running, 4096)

    assert (await store.put("/db")).status == 507

    assert "db" not in (await store.get("/_all_dbs")).body
    let_files_grow_to(running, resource.RLIM_INFINITY)
    assert (await store.put("/db")).status == 201
    assert (await store.put("/db/a", {})).status == 201


async def test_index_that_finds_no_room_is_built_when_there_is(process: tuple[Process, Client]) -> None:
    running, store = process
    await store.put("/db")
    view = {"map": "function (doc) { for (var n = 0; n < 50; n++) { emit([doc._id, n], doc.text); } }"}
    await store.put("/db/_design/d", {"views": {"v": view}})
    await store.post("/db/_bulk_docs", {"docs": [{"_id": str(n), "text": "x" * 500} for n in range(200)]})
    path = "/db/_design/d/_view/v"
    let_files_grow_to(running, 1 * MIB)

    refused = await store.get(path)

    assert refused.status == 507
    assert (await store.get("/db/1")).status == 200
    let_files_grow_to(running, resource.RLIM_INFINITY)
    assert len((await store.get(path)).body["rows"]) == 10_000


async def test_database_whose_log_finds_no_room_is_read_when_there_is(process: tuple[Process, Client]) -> None:
    running, store = process
    await store.put("/db")  # not opened yet
    let_files_grow_to(running, 4096)

    assert (await store.get("/db")).status == 507

    let_files_grow_to(running, resource.RLIM_INFINITY)
    assert (await store.get("/db")).status == 200


async def test_configuration_that_finds_no_room_stays_whole(process: tuple[Process, Client], tmp_path: Path) -> None:
    running, store = process
    assert (await store.put("/_node/_local/_config/notes/old", "x" * 1000)).status == 200
    let_files_grow_to(running, 4096)

    refused = await store.put("/_node/_local/_config/notes/new", "y" * 8000)

    assert refused.status == 507
    assert (await store.get("/_node/_local/_config/notes")).body == {"old": "x" * 1000}
    assert orjson.loads((tmp_path / "config.json").read_bytes()) == {"notes": {"old": "x" * 1000}}


async def test_start_on_a_full_disk_waits_quietly_and_replicates_when_there_is_room(tmp_path: Path) -> None:
    port = free_port()
    async with ClientSession() as session:
        client = Client(session, f"http://127.0.0.1:{port}")
        first = await start(tmp_path, port, client)
        await client.put("/source")
        first.terminate()
        await first.wait()
        running = await start(tmp_path, port, client, most_file_bytes=4096)
        try:
            for _ in range(100):  # more than enough turns of the loop for one that does not wait
                await client.get("/_all_dbs")
            let_files_grow_to(running, resource.RLIM_INFINITY)
            doc = {"source": "source", "target": "target", "create_target": True}
            assert (await client.put("/_replicator/r", doc)).status == 201

            async def completed() -> bool:
                return bool((await client.get("/_replicator/r")).body.get("_replication_state") == "completed")

            await eventually(completed)
        finally:
            running.terminate()
            _, told = await running.communicate()
    assert b"Traceback" not in told
