"""`outpost serve` from the outside: it starts, says where it is, survives deaths, stops, refuses in one sentence."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.conftest import eventually, free_port
from tests.outpost.conftest import Deployment, remove

COMMANDS = ("serve", "store", "api", "sentinel", "index", "worker", "demo", "build", "prepare")


def run(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("COUCH_", "OUTPOST_"))}
    return subprocess.run(
        [sys.executable, "-m", "outpost", *arguments], env=clean | env, capture_output=True, text=True, timeout=60
    )


def assert_refused(result: subprocess.CompletedProcess[str], *words: str) -> None:
    """Exit code 2 and one sentence that holds the words; never a traceback."""
    assert result.returncode == 2
    sentence = result.stderr.strip().splitlines()
    assert len(sentence) == 1, result.stderr
    for word in words:
        assert word in sentence[0]


async def test_a_running_deployment_answers_monitoring_and_says_where_it_is(deployment: Deployment) -> None:
    async with deployment.http() as http:
        answer = await http.get("/api/v1/monitoring")

    assert answer.status_code == 200
    assert answer.json()["version"]["couchdb"]
    assert "Outpost is ready." in deployment.log
    assert deployment.url in deployment.log
    assert str(deployment.data / "outpost") in deployment.log


@pytest.mark.parametrize("name", ["index", "worker[1]", "sentinel"])
async def test_a_killed_process_is_started_again(deployment: Deployment, name: str) -> None:
    await deployment.kill(name)

    async with deployment.http() as http:
        answer = await http.get("/api/v1/settings")
    assert answer.status_code == 200


def test_everything_stops_when_the_supervisor_is_killed(fresh: Deployment) -> None:
    fresh.start()
    names = ("store", "index", "worker[0]", "worker[1]", "sentinel")
    pids = [fresh.pids(name)[-1] for name in names]
    assert fresh.process is not None

    fresh.process.kill()
    fresh.process.wait()

    deadline = time.monotonic() + 10
    while any(alive(pid) for pid in pids):
        assert time.monotonic() < deadline, [name for name, pid in zip(names, pids, strict=True) if alive(pid)]


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_warm_start_keeps_login_and_data(fresh: Deployment, tmp_path: Path) -> None:
    del fresh.env["OUTPOST_ADMIN"]
    fresh.start()
    password = (tmp_path / "outpost" / "admin-password").read_text().strip()
    with httpx.Client(auth=("admin", password)) as http:
        assert http.put(f"{fresh.db_url}/kept", json={"type": "person"}).status_code == 201
    assert fresh.stop() == 0

    fresh.start()

    with httpx.Client(auth=("admin", password)) as http:
        assert http.get(f"{fresh.db_url}/kept").status_code == 200
    assert fresh.stop() == 0
    assert (tmp_path / "outpost" / "admin-password").stat().st_mode & 0o777 == 0o600


def test_a_taken_port_is_one_sentence(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])

        assert_refused(run("serve", "--port", port, "--data", str(tmp_path)), port, "--port")
        assert_refused(run("serve", "--port", "0", "--store-port", port, "--data", str(tmp_path)), port, "--store-port")


def test_an_unwritable_data_folder_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    assert_refused(run("serve", "--port", "0", "--data", str(tmp_path / "file" / "data")), "data folder", "file/data")


def test_an_address_that_is_not_of_this_machine_is_one_sentence(tmp_path: Path) -> None:
    assert_refused(run("serve", "--host", "192.0.2.1", "--data", str(tmp_path)), "192.0.2.1", "--host")


def test_a_full_disk_is_one_sentence_and_leaves_no_half_a_password(tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "outpost", "serve", "--port", "0", "--store-port", "0", "--data", str(tmp_path)],
        env={name: value for name, value in os.environ.items() if not name.startswith(("COUCH_", "OUTPOST_"))},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0)),
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert_refused(result, str(tmp_path), "cannot be written")
    assert [path.name for path in tmp_path.iterdir()] == ["lock"]


def test_a_password_that_was_never_written_is_none(tmp_path: Path) -> None:
    (tmp_path / "admin-password").write_text("")

    assert_refused(run("sentinel", "status", "--data", str(tmp_path)), "no embedded store", str(tmp_path), "--data")


@pytest.mark.parametrize(
    ("couch_url", "word"),
    [
        ("nonsense", "http://user:password@host:5984/medic"),
        ("http://127.0.0.1:5984/medic", "administrator"),
        ("http://a:b@127.0.0.1:port/medic", "COUCH_URL"),
        ("http://a:b@127.0.0.1:5984/medic/more", "one path part"),
    ],
)
def test_a_malformed_couch_url_is_one_sentence(tmp_path: Path, couch_url: str, word: str) -> None:
    assert_refused(run("serve", "--port", "0", "--data", str(tmp_path), COUCH_URL=couch_url), "COUCH_URL", word)


def test_a_wrong_couchdb_password_is_one_sentence(tmp_path: Path, couch_url: str) -> None:
    parts = urlsplit(couch_url)
    wrong = f"{parts.scheme}://nobody:wrong@{parts.netloc.rpartition('@')[2]}/medic"

    assert_refused(run("serve", "--port", "0", "--data", str(tmp_path), COUCH_URL=wrong), "user name or password")


@pytest.mark.parametrize(
    ("welcome", "word"),
    [
        ({"couchdb": "Welcome", "version": "1.6.1"}, "3.0 or newer"),
        ({"hello": "world"}, "not a CouchDB"),
        ("<html>", "not a CouchDB"),
    ],
)
async def test_an_unfit_server_is_one_sentence(tmp_path: Path, welcome: object, word: str) -> None:
    app = web.Application()

    async def root(request: web.Request) -> web.Response:
        return web.json_response(welcome) if isinstance(welcome, dict) else web.Response(text=str(welcome))

    app.router.add_get("/", root)
    async with TestServer(app) as server:
        url = f"http://a:b@127.0.0.1:{server.port}/medic"

        result = await asyncio.to_thread(run, "serve", "--port", "0", "--data", str(tmp_path), COUCH_URL=url)

    assert_refused(result, word)


async def test_it_waits_for_a_couchdb_that_is_not_up_yet_and_says_so(tmp_path: Path) -> None:
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "outpost", "serve", "--port", "0", "--data", str(tmp_path)),
        env={**os.environ, "COUCH_URL": f"http://a:b@127.0.0.1:{port}/medic"},
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr is not None

    line = await asyncio.wait_for(process.stderr.readline(), 30)
    process.send_signal(signal.SIGTERM)

    assert b"waiting for CouchDB" in line
    assert await asyncio.wait_for(process.wait(), 30) == 0


def test_two_servers_do_not_share_a_data_folder(fresh: Deployment, tmp_path: Path) -> None:
    fresh.start()

    result = run("serve", "--port", "0", "--store-port", "0", "--data", str(tmp_path / "outpost"))
    alone = run("store", "--store-port", "0", "--data", str(tmp_path / "outpost"), "--admin", "a:b")

    assert_refused(result, "already running")
    assert_refused(alone, "in use by another store")
    assert fresh.stop() == 0


@pytest.mark.parametrize(
    ("variable", "value"),
    [("OUTPOST_PORT", "abc"), ("OUTPOST_WORKERS", "0"), ("OUTPOST_ADMIN", "justaname"), ("OUTPOST_LOG_FORMAT", "xml")],
)
def test_a_wrong_variable_is_named(variable: str, value: str) -> None:
    assert_refused(run("serve", **{variable: value}), variable)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str) -> None:
    result = run(command, "--help")

    assert result.returncode == 0
    assert "usage: outpost" in result.stdout


async def test_json_logs_are_one_object_a_line(fresh: Deployment) -> None:
    import orjson

    fresh.env["OUTPOST_LOG_FORMAT"] = "json"
    fresh.start()
    assert fresh.stop() == 0

    lines = [line for line in fresh.log.splitlines() if line.startswith("{")]
    assert {"time", "level", "process", "request_id", "message"} <= set(orjson.loads(lines[0]))

    async def logged() -> bool:
        return any(orjson.loads(line)["message"] == "stopping" for line in lines)

    assert await eventually(logged)


async def test_parts_run_alone_on_a_couchdb_that_nobody_has_prepared(couch_url: str, tmp_path: Path) -> None:
    deployment = Deployment(tmp_path, couch_url)
    port = str(deployment.port)
    parts = [("sentinel",), ("index",), ("worker", "--port", port)]
    processes = [
        await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "outpost", *part, "--data", str(tmp_path)), env=deployment.env
        )
        for part in parts
    ]

    async with deployment.http() as http:

        async def answers() -> bool:
            try:
                return (await http.get("/api/v1/settings")).status_code == 200
            except httpx.HTTPError:
                return False

        try:
            await eventually(answers, 30)
        finally:
            for process in processes:
                process.send_signal(signal.SIGTERM)

    assert [await asyncio.wait_for(process.wait(), 30) for process in processes] == [0, 0, 0]
    remove(couch_url, deployment.database)
