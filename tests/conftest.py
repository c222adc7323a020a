"""Fixtures of every room: a CouchDB of either kind, a prepared deployment on it, and a running API."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.parse import urlsplit
from urllib.request import urlopen

import pytest
from aiohttp.test_utils import TestClient, TestServer
from hypothesis import HealthCheck, settings

from core.config import Config
from core.couch.client import Couch, Database, connect
from core.prepare import prepare

# Every run sees the same examples and none is timed. `--hypothesis-profile=random` looks for new ones.
settings.register_profile("random", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("repeatable", settings.get_profile("random"), derandomize=True)
settings.load_profile("repeatable")

BACKENDS = ["embedded", "couchdb"] if os.environ.get("COUCH_URL") else ["embedded"]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def basic(name: str, password: str) -> dict[str, str]:
    """The header of HTTP Basic authentication."""
    return {"Authorization": "Basic " + b64encode(f"{name}:{password}".encode()).decode()}


@pytest.fixture(scope="session")
def embedded_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of an embedded store in a process of its own, with its administrator's login."""
    port = free_port()
    data = tmp_path_factory.mktemp("store")
    command = [sys.executable, "-m", "outpost", "store", "--store-port", str(port), "--data", str(data)]
    env = {**os.environ, "COUCH_URL": "http://another:login@127.0.0.1:1/medic"}  # is no business of the store's
    process = subprocess.Popen([*command, "--admin", "admin:secret", "--log-level", "warning"], env=env)
    try:
        wait_for_http(f"http://127.0.0.1:{port}/_up")
        yield f"http://admin:secret@127.0.0.1:{port}"
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def wait_for_http(url: str, within_s: float = 60.0) -> None:
    deadline = time.monotonic() + within_s
    while True:
        with suppress(URLError, ConnectionError, TimeoutError), urlopen(url, timeout=5):
            return
        assert time.monotonic() < deadline, f"{url} did not answer"


@pytest.fixture(scope="session", params=BACKENDS)
def couch_url(request: pytest.FixtureRequest) -> str:
    """A server speaking CouchDB's API, with an administrator's login; the real one too when COUCH_URL names it."""
    if request.param == "couchdb":
        parts = urlsplit(os.environ["COUCH_URL"])
        return f"{parts.scheme}://{parts.netloc}"
    return str(request.getfixturevalue("embedded_store"))


def new_config(couch_url: str, folder: Path) -> Config:
    """A configuration whose main database has a name of its own."""
    name = f"medic-{secrets.token_hex(5)}"
    env = {"OUTPOST_DATA": str(folder / "data"), "OUTPOST_PORT": str(free_port()), "OUTPOST_WORKERS": "1"}
    return Config.from_env({**env, "COUCH_URL": f"{couch_url}/{name}"})


@pytest.fixture
def config(couch_url: str, tmp_path: Path) -> Config:
    return new_config(couch_url, tmp_path)


@pytest.fixture
async def couch(config: Config) -> AsyncIterator[Couch]:
    async with prepared(config) as couch:
        yield couch


@asynccontextmanager
async def prepared(config: Config) -> AsyncIterator[Couch]:
    """A client of the prepared deployment: databases, design documents, default settings. Removed afterwards."""
    config.data.mkdir(parents=True, exist_ok=True)
    async with connect(config) as couch:
        await prepare(couch, config)
        yield couch
        ours = [
            name for name in await couch.all_dbs() if name == config.database or name.startswith(f"{config.database}-")
        ]
        await asyncio.gather(*(couch.db(name).delete_database() for name in ours))


@pytest.fixture
def db(couch: Couch, config: Config) -> Database:
    """The main database."""
    return couch.db(config.database)


@pytest.fixture
def sentinel_db(couch: Couch, config: Config) -> Database:
    return couch.db(config.db_name("sentinel"))


class Background:
    """A process's main function as a task of the test, stopped at its end."""

    def __init__(self, run: Callable[[Config, asyncio.Event], Awaitable[None]], config: Config) -> None:
        self.stop = asyncio.Event()
        self.task = asyncio.create_task(run(config, self.stop))  # type: ignore[arg-type]

    async def close(self) -> None:
        self.stop.set()
        done, _ = await asyncio.wait({self.task}, timeout=30)
        assert done, "it did not stop in time"
        self.task.result()


@pytest.fixture
async def indexer(couch: Couch, config: Config) -> AsyncIterator[Background]:
    async with indexing(config) as background:
        yield background


@asynccontextmanager
async def indexing(config: Config) -> AsyncIterator[Background]:
    """The access indexer, following the main database."""
    from api.access.indexer import run_indexer

    background = Background(run_indexer, config)
    yield background
    await background.close()


@pytest.fixture
async def sentinel(couch: Couch, config: Config) -> AsyncIterator[Background]:
    """The background worker, following the main database."""
    from sentinel.worker import run_worker

    background = Background(run_worker, config)
    yield background
    await background.close()


@pytest.fixture
async def client(couch: Couch, config: Config, indexer: Background) -> AsyncIterator[TestClient[Any, Any]]:
    async with serving(config) as client:
        yield client


@asynccontextmanager
async def serving(config: Config) -> AsyncIterator[TestClient[Any, Any]]:
    """The API. Requests go out as the server administrator unless they bring a header."""
    from api.app import create_app

    server = TestServer(create_app(config))
    client = TestClient(server, headers=basic(*config.couch_admin), raise_for_status=False)
    await client.start_server()
    yield client
    await client.close()


@pytest.fixture
async def make_user(couch: Couch, config: Config) -> AsyncIterator[Callable[..., Awaitable[dict[str, str]]]]:
    """`await make_user("asha", roles=["chw"], facility_id="hc", contact_id="p")` stores an account with both its
    documents, under a name unique to the test, and returns the header that logs it in (`name` is in `.name`)."""
    made: list[str] = []

    class Login(dict[str, str]):
        name: str = ""
        password: str = ""

    async def make(name: str, *, roles: list[str], password: str = "secret-12", **members: Any) -> dict[str, str]:
        unique = f"{name}-{config.database[-6:]}"
        doc_id = f"org.couchdb.user:{unique}"
        shared = {"_id": doc_id, "name": unique, "roles": roles, **members}
        await couch.db("_users").put({**shared, "type": "user", "password": password})
        await couch.db(config.database).put({**shared, "type": "user-settings"})
        made.append(doc_id)
        login = Login(basic(unique, password))
        login.name, login.password = unique, password
        return login

    yield make
    users = couch.db("_users")
    for doc in (await users.get_many(made)).values():
        await users.delete(doc["_id"], doc["_rev"])


async def eventually(condition: Callable[[], Awaitable[Any]], within_s: float = 30.0) -> Any:
    """Wait until the condition gives something truthy, and return it."""
    deadline = time.monotonic() + within_s
    while True:
        found = await condition()
        if found:
            return found
        assert time.monotonic() < deadline, "the condition did not become true in time"
        await asyncio.sleep(0.02)
