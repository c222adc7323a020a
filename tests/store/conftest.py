"""A store of its own for each test."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import ClientSession
from aiohttp.test_utils import TestServer

from store.server import RUNNER_OPTIONS, StoreConfig, create_app
from tests.store.store_client import ADMIN, Client
from tests.store.store_clock import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def store_url(tmp_path: Path, clock: Clock) -> AsyncIterator[str]:
    """A running store, cheap in everything that is slow on purpose."""
    config = StoreConfig(
        data=tmp_path / "data",
        admins=dict([ADMIN]),
        pbkdf2_iterations=10,
        cookie_timeout_s=1000,
        max_body_bytes=20_000_000,
        max_attachment_bytes=1_000_000,
        now=clock,
    )
    server = TestServer(create_app(config))
    await server.start_server(**RUNNER_OPTIONS)
    yield str(server.make_url("/")).rstrip("/")
    await server.close()


@pytest.fixture
async def store(store_url: str) -> AsyncIterator[Client]:
    async with ClientSession() as session:
        yield Client(session, store_url)


@pytest.fixture
async def db(store: Client) -> str:
    """The path of an empty database that every user may use."""
    assert (await store.put("/db")).status == 201
    assert (await store.put("/db/_security", {})).status == 200
    return "/db"
