"""What was acknowledged survives a SIGKILL at any moment; what the disk refuses is refused whole."""

from __future__ import annotations

import asyncio
import signal
import socket
import sqlite3
import sys
from asyncio.subprocess import Process
from pathlib import Path

import orjson
import pytest
from aiohttp import ClientError, ClientSession, TCPConnector

from store import schema
from store.documents import Edit
from store.edits import apply_edits
from store.errors import StoreError
from store.server import StoreConfig, serve
from store.service import Store
from store.writer import Writer
from tests.store.store_client import ADMIN, Client, basic

PROGRAM = """
import asyncio, resource, sys
from pathlib import Path
from store.server import StoreConfig, serve
if len(sys.argv) > 3:
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), resource.RLIM_INFINITY))
config = StoreConfig(data=Path(sys.argv[1]), port=int(sys.argv[2]), admins={"admin": "secret"})
asyncio.run(serve(config, asyncio.Event()))
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def start(data: Path, port: int, client: Client, most_file_bytes: int | None = None) -> Process:
    """A store in a process of its own; with `most_file_bytes` no file of it can grow beyond, and stderr is a pipe."""
    limited = most_file_bytes is not None
    arguments = [str(data), str(port), *([str(most_file_bytes)] if limited else [])]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PROGRAM, *arguments, stderr=asyncio.subprocess.PIPE if limited else None
    )
    async with asyncio.timeout(30):
        while True:
            try:
                if (await client.get("/_up")).status == 200:
                    return process
            except ClientError:
                await asyncio.sleep(0.02)


async def write_until_killed(client: Client, writer: int, acknowledged: set[str], enough: asyncio.Event) -> None:
    """Post batches for ever, noting the ids of each document that the store said it has."""
    batch = 0
    try:
        while True:
            docs = [{"_id": f"{writer}-{batch}-{n}", "padding": "x" * 300} for n in range(50)]
            answer = await client.post("/db/_bulk_docs", {"docs": docs})
            if answer.status != 201:
                return
            acknowledged.update(row["id"] for row in answer.body if row.get("ok"))
            batch += 1
            if len(acknowledged) > 1000:
                enough.set()
    except ClientError:
        return


@pytest.mark.slow
async def test_no_acknowledged_document_is_lost_by_sigkill(tmp_path: Path) -> None:
    port = free_port()
    acknowledged: set[str] = set()
    for kill_number in range(3):
        async with ClientSession(connector=TCPConnector(limit=0)) as session:
            client = Client(session, f"http://127.0.0.1:{port}")
            process = await start(tmp_path, port, client)
            if kill_number == 0:
                await client.put("/db")
            found = {row["id"] for row in (await client.get("/db/_all_docs")).body["rows"]}
            assert acknowledged <= found
            assert len(found) == (await client.get("/db")).body["doc_count"]

            enough = asyncio.Event()
            ours: set[str] = set()
            writers = [
                asyncio.create_task(write_until_killed(client, kill_number * 100 + number, ours, enough))
                for number in range(8)
            ]
            await asyncio.wait_for(enough.wait(), 60)
            process.send_signal(signal.SIGKILL)
            await process.wait()
            await asyncio.gather(*writers)
            acknowledged |= ours

        with sqlite3.connect(tmp_path / "databases" / "db.sqlite") as conn:
            assert conn.execute("PRAGMA quick_check").fetchone() == ("ok",)
            stored = {row[0] for row in conn.execute("SELECT id FROM docs")}
            dangling = conn.execute(
                "SELECT count(*) FROM docs d LEFT JOIN bodies b ON b.num = d.body WHERE b.num IS NULL"
            ).fetchone()
        conn.close()
        assert acknowledged <= stored
        assert dangling == (0,)
        assert all(len([name for name in stored if name.startswith(f"{each}-")]) % 50 == 0 for each in range(8))


async def test_stop_ends_held_feeds_and_leaves_no_log(tmp_path: Path) -> None:
    port, stop = free_port(), asyncio.Event()
    serving = asyncio.create_task(serve(StoreConfig(data=tmp_path, port=port, admins=dict([ADMIN])), stop))
    async with ClientSession() as session:
        client = Client(session, f"http://127.0.0.1:{port}")
        async with asyncio.timeout(30):
            while True:
                try:
                    await client.get("/_up")
                    break
                except ClientError:
                    await asyncio.sleep(0.01)
        await client.put("/db")
        await client.put("/db/a", {})
        path = "/db/_changes?feed=longpoll&since=now&heartbeat=true"
        async with session.get(client.url + path, headers=basic(*ADMIN)) as feed:
            stop.set()
            assert orjson.loads(await feed.read())["results"] == []
        await asyncio.wait_for(serving, 30)
    assert not list((tmp_path / "databases").glob("*-wal"))


def test_a_database_cut_short_in_the_making_or_removal_is_swept(tmp_path: Path) -> None:
    path = tmp_path / "db.sqlite"
    Path(f"{path}-wal").write_bytes(b"left over")
    path.with_suffix(".new").write_bytes(b"half made")

    schema.create(path)

    conn = schema.open_writer(path)
    assert conn.execute("SELECT update_seq FROM info").fetchone() == (0,)
    conn.close()


def test_a_file_of_a_newer_program_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "db.sqlite"
    schema.create(path)
    conn = sqlite3.connect(path)
    conn.execute("PRAGMA user_version = 999")
    conn.close()

    with pytest.raises(Exception, match="version 999"):
        schema.open_writer(path)


async def test_a_full_disk_is_an_error_and_nothing_is_half_written(tmp_path: Path) -> None:
    path = tmp_path / "db.sqlite"
    schema.create(path)
    writer = Writer(path, lambda committed: None)
    pages = await writer.submit(lambda tx: tx.conn.execute("PRAGMA page_count").fetchone()[0])
    await writer.submit(lambda tx: tx.conn.execute(f"PRAGMA max_page_count = {pages + 20}").fetchone())

    big = [Edit(f"d{n}", body=b'{"x":"' + b"y" * 1000 + b'"}') for n in range(500)]
    with pytest.raises(StoreError) as raised:
        await writer.submit(lambda tx: apply_edits(tx, big))
    assert (raised.value.status, raised.value.slug) == (507, "insufficient_storage")
    await writer.submit(lambda tx: apply_edits(tx, [Edit("small")]))

    await asyncio.to_thread(writer.close)
    conn = sqlite3.connect(path)
    assert conn.execute("SELECT id FROM docs").fetchall() == [("small",)]
    assert conn.execute("SELECT update_seq, doc_count FROM info").fetchone() == (1, 1)
    conn.close()


async def test_two_stores_cannot_share_a_data_folder(tmp_path: Path) -> None:
    first = Store(StoreConfig(data=tmp_path))
    with pytest.raises(OSError, match="in use by another store"):
        Store(StoreConfig(data=tmp_path))
    await first.close()

    await Store(StoreConfig(data=tmp_path)).close()
