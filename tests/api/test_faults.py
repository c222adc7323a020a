"""What becomes of requests when the client, CouchDB or the server itself goes away in the middle."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp.test_utils import TestClient, TestServer

from api.app import create_app
from api.server import serve
from core.config import Config
from tests.api.scripted_couch import ScriptedCouch
from tests.conftest import basic, eventually, free_port

Client = TestClient[Any, Any]
ADMIN = basic("admin", "secret")
JSON = {"Accept": "application/json"}


@pytest.fixture
async def scripted() -> AsyncIterator[ScriptedCouch]:
    couch = ScriptedCouch()
    await couch.server.start_server(shutdown_timeout=0.1)
    yield couch
    couch.release.set()
    await couch.server.close()


@pytest.fixture
def scripted_config(scripted: ScriptedCouch, tmp_path: Path) -> Config:
    url = f"http://admin:secret@127.0.0.1:{scripted.server.port}/medic"
    return Config(data=tmp_path, port=free_port(), drain_s=2.0).with_couch_url(url)


@pytest.fixture
async def front(scripted_config: Config) -> AsyncIterator[Client]:
    """The API before the scripted CouchDB."""
    async with TestClient(TestServer(create_app(scripted_config)), headers=ADMIN) as client:
        yield client


async def until_up(session: aiohttp.ClientSession, url: str) -> None:
    async def up() -> bool:
        try:
            async with session.get(f"{url}/api/info") as answer:
                return answer.status == 200
        except aiohttp.ClientConnectionError:
            return False

    await eventually(up)


async def test_a_client_that_goes_ends_its_request_to_couchdb(front: Client, scripted: ScriptedCouch) -> None:
    request = asyncio.create_task(front.get("/medic/hang"))
    await asyncio.wait_for(scripted.arrived.wait(), 30)
    request.cancel()

    await asyncio.wait_for(scripted.given_up.wait(), 30)


async def test_a_write_is_finished_although_its_client_has_gone(front: Client, scripted: ScriptedCouch) -> None:
    request = asyncio.create_task(front.put("/medic/doc", json={}))
    await asyncio.wait_for(scripted.arrived.wait(), 30)
    request.cancel()
    await asyncio.gather(request, return_exceptions=True)
    scripted.release.set()

    async def stored() -> bool:
        return scripted.stored == ["doc"]

    assert await eventually(stored, within_s=5)


async def test_an_answer_that_breaks_off_is_seen_to_break_off(front: Client, scripted: ScriptedCouch) -> None:
    answer = await front.get("/medic/half")
    assert await answer.content.readexactly(4) == b"half"
    scripted.release.set()

    with pytest.raises(aiohttp.ClientError):  # ERR-15
        await answer.read()


async def test_a_write_whose_answer_breaks_off_is_503(front: Client, scripted: ScriptedCouch) -> None:
    scripted.release.set()
    answer = await front.post("/medic/_bulk_docs", json={"docs": []})

    assert answer.status == 503
    assert (await answer.json())["error"] == "service_unavailable"


@pytest.mark.parametrize("path", ["/dbinfo", "/_session", "/medic/doc"])
async def test_clients_of_couchdb_are_told_in_its_own_form_that_it_is_away(
    front: Client, scripted: ScriptedCouch, path: str
) -> None:
    await scripted.server.close()
    answer = await front.get(path)

    assert answer.status == 503  # ERR-9
    assert (await answer.json())["error"] == "service_unavailable"
    assert "CouchDB" in (await answer.json())["reason"]


async def test_a_couchdb_that_is_away_is_503(front: Client, scripted: ScriptedCouch) -> None:
    await scripted.server.close()
    answer = await front.get("/api/v1/settings", headers=JSON)

    assert answer.status == 503  # ERR-9
    assert (await answer.json())["code"] == 503
    assert "CouchDB" in (await answer.json())["error"]


async def test_monitoring_answers_while_couchdb_is_away(front: Client, scripted: ScriptedCouch) -> None:
    await scripted.server.close()
    answer = await front.get("/api/v1/monitoring")

    assert answer.status == 200  # EP-MON-2
    assert (await answer.json())["sentinel"]["backlog"] == -1


async def test_the_server_stops_in_time_with_a_feed_held_open(scripted: ScriptedCouch, scripted_config: Config) -> None:
    stop = asyncio.Event()
    server = asyncio.create_task(serve(scripted_config, stop))
    url = f"http://127.0.0.1:{scripted_config.port}"
    async with aiohttp.ClientSession(headers=ADMIN) as session:
        await until_up(session, url)
        async with session.get(f"{url}/medic/_changes?feed=longpoll") as feed:
            assert await feed.content.readany() == b'{"results":[\n'
            stop.set()
            with pytest.raises(aiohttp.ClientError):
                await feed.read()
        await asyncio.wait_for(server, scripted_config.drain_s)


async def test_the_server_finishes_a_request_before_it_stops(scripted: ScriptedCouch, scripted_config: Config) -> None:
    stop = asyncio.Event()
    server = asyncio.create_task(serve(scripted_config, stop))
    url = f"http://127.0.0.1:{scripted_config.port}"
    async with aiohttp.ClientSession(headers=ADMIN) as session:
        await until_up(session, url)
        request = asyncio.create_task(session.put(f"{url}/medic/doc", json={}))
        await asyncio.wait_for(scripted.arrived.wait(), 30)
        stop.set()
        scripted.release.set()
        async with await request as answer:
            assert answer.status == 201
        await asyncio.wait_for(server, scripted_config.drain_s + 2)


async def test_a_write_whose_client_has_gone_is_finished_before_the_server_stops(
    scripted: ScriptedCouch, scripted_config: Config
) -> None:
    stop = asyncio.Event()
    server = asyncio.create_task(serve(scripted_config, stop))
    url = f"http://127.0.0.1:{scripted_config.port}"
    async with aiohttp.ClientSession(headers=ADMIN) as session:
        await until_up(session, url)
        request = asyncio.create_task(session.put(f"{url}/medic/doc", json={}))
        await asyncio.wait_for(scripted.arrived.wait(), 30)
        request.cancel()
        await asyncio.gather(request, return_exceptions=True)
    stop.set()
    scripted.release.set()
    await asyncio.wait_for(server, 30)

    assert scripted.stored == ["doc"]


async def test_two_workers_share_an_address(scripted: ScriptedCouch, scripted_config: Config) -> None:
    stop = asyncio.Event()
    workers = [asyncio.create_task(serve(scripted_config, stop)) for _ in range(2)]
    async with aiohttp.ClientSession() as session:
        await until_up(session, f"http://127.0.0.1:{scripted_config.port}")
    stop.set()
    await asyncio.wait_for(asyncio.gather(*workers), 30)


async def test_a_taken_port_is_an_error(scripted: ScriptedCouch, scripted_config: Config) -> None:
    taken = scripted_config.replace(port=scripted.server.port)

    with pytest.raises(OSError, match="address already in use"):
        await serve(taken, asyncio.Event(), reuse_port=False)
