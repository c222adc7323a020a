"""`outpost store --check` and `--backup`, beside a running store and without one."""

from __future__ import annotations

import sys
from asyncio import create_subprocess_exec, gather
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import ClientSession
from aiohttp.test_utils import TestServer

from store.server import RUNNER_OPTIONS, StoreConfig, create_app
from tests.store.store_client import ADMIN, Client


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Client]:
    """A store where `outpost --data tmp_path` looks for it."""
    async with running(tmp_path / "store") as client:
        yield client


class running:
    """A store of a data folder and its client."""

    def __init__(self, data: Path) -> None:
        self.server = TestServer(create_app(StoreConfig(data=data, admins=dict([ADMIN]))))

    async def __aenter__(self) -> Client:
        await self.server.start_server(**RUNNER_OPTIONS)
        self.session = ClientSession()
        return Client(self.session, str(self.server.make_url("/")).rstrip("/"))

    async def __aexit__(self, *_: object) -> None:
        await self.session.close()
        await self.server.close()


async def outpost(*arguments: object) -> tuple[int | None, list[str], str]:
    """Exit code, lines and complaint of the command."""
    program = "import sys; from outpost.cli import main; main(sys.argv[1:])"
    process = await create_subprocess_exec(
        sys.executable, "-c", program, *map(str, arguments), stdout=PIPE, stderr=PIPE
    )
    out, err = await process.communicate()
    return process.returncode, out.decode().splitlines(), err.decode()


async def fill(store: Client, name: str) -> None:
    view = {"views": {"v": {"map": "function (doc) { emit(doc._id); }"}}}
    await store.put(f"/{name}")
    await store.post(f"/{name}/_bulk_docs", {"docs": [{"_id": str(n), "text": "x" * 500} for n in range(300)]})
    await store.put(f"/{name}/_design/d", view)
    assert (await store.get(f"/{name}/_design/d/_view/v")).status == 200


async def test_check_tells_that_each_file_is_whole(store: Client, tmp_path: Path) -> None:
    await fill(store, "db")

    code, lines, _ = await outpost("store", "--data", tmp_path, "--check")

    assert code == 0
    assert lines[:3] == ["ok   _replicator", "ok   _users", "ok   db"]
    assert lines[3].startswith("ok   index db/")


async def test_check_names_a_damaged_file(tmp_path: Path) -> None:
    async with running(tmp_path / "store") as store:
        await fill(store, "db")
        await fill(store, "other")
    file = tmp_path / "store" / "databases" / "db.sqlite"
    with file.open("r+b") as damaged:
        damaged.seek(20_000)
        damaged.write(b"\xff" * 60_000)
    (tmp_path / "store" / "databases" / "none.sqlite").write_bytes(b"not a database, and long enough to be read" * 30)

    code, lines, _ = await outpost("store", "--data", tmp_path, "--check")

    assert code == 1
    assert [line.split(":")[0] for line in lines if line.startswith("bad")] == ["bad  db", "bad  none"]
    assert "ok   other" in lines


@pytest.mark.parametrize("flags", [["--check"], ["--backup", "copy"]])
async def test_folder_without_a_store_is_said_to_be_none(tmp_path: Path, flags: list[str]) -> None:
    code, lines, complaint = await outpost("store", "--data", tmp_path, *flags)

    assert (code, lines) == (2, [])
    assert complaint == f"outpost: There is no store in {tmp_path / 'store'}.\n"
    assert not (tmp_path / "store").exists()


async def test_backup_of_a_running_store_is_a_store(store: Client, tmp_path: Path) -> None:
    await fill(store, "db")
    await store.put("/db/0/f", data=b"attached", rev=(await store.get("/db/0")).body["_rev"])
    await store.make_user("asha", "pass-1")

    code, lines, _ = await outpost("store", "--data", tmp_path, "--backup", tmp_path / "copy")
    await store.delete("/db")

    assert (code, lines) == (0, ["ok   _replicator", "ok   _users", "ok   db"])
    async with running(tmp_path / "copy") as copied:
        assert (await copied.get("/db")).body["doc_count"] == 301
        assert (await copied.get("/db/0/f")).raw == b"attached"
        assert len((await copied.get("/db/_design/d/_view/v")).body["rows"]) == 300
        assert (await copied.get("/_session", user=("asha", "pass-1"))).status == 200


async def test_backup_while_documents_are_written_is_of_one_moment(store: Client, tmp_path: Path) -> None:
    await fill(store, "db")
    done = False

    async def write() -> None:
        number = 0
        while not done:
            docs = [{"_id": f"{number}-{half}"} for half in "ab"]
            assert (await store.post("/db/_bulk_docs", {"docs": docs})).status == 201
            number += 1

    async def copy() -> int | None:
        nonlocal done
        code, _, _ = await outpost("store", "--data", tmp_path, "--backup", tmp_path / "copy")
        done = True
        return code

    _, code = await gather(write(), copy())

    assert code == 0
    async with running(tmp_path / "copy") as copied:
        ids = [row["id"] for row in (await copied.get("/db/_all_docs")).body["rows"] if "-" in row["id"]]
        assert len(ids) == len([each for each in ids if each.endswith("a")]) * 2
        info = (await copied.get("/db")).body
        assert info["doc_count"] == len(ids) + 301


async def test_backup_wants_a_folder_of_its_own(store: Client, tmp_path: Path) -> None:
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy" / "precious").write_text("mine")

    code, _, complaint = await outpost("store", "--data", tmp_path, "--backup", tmp_path / "copy")

    assert code == 2
    assert "is not empty" in complaint
    assert [path.name for path in (tmp_path / "copy").iterdir()] == ["precious"]
