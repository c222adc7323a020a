"""An exchange with a gateway asks the database as often for ten messages as for one (45 SMS-4, design §5)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from api.app import create_app
from core.config import Config
from core.couch.client import Doc
from tests.conftest import basic, eventually
from tests.sentinel.conftest import CHW_PHONE, Deployment

HOP_BY_HOP = ("connection", "keep-alive", "transfer-encoding", "content-length", "content-encoding", "host")


@dataclass
class Counter:
    """Passes every request on to the database and notes it, but for those that only wait for changes."""

    upstream: str
    session: aiohttp.ClientSession
    seen: list[str] = field(default_factory=list)

    async def pass_on(self, request: web.Request) -> web.Response:
        if not request.path.endswith("/_changes"):
            self.seen.append(f"{request.method} {request.path.split('?')[0].partition('medic-')[2]}")
        headers = {name: value for name, value in request.headers.items() if name.lower() not in HOP_BY_HOP}
        body = await request.read()
        async with self.session.request(
            request.method, f"{self.upstream}{request.raw_path}", data=body, headers=headers
        ) as answer:
            kept = {name: value for name, value in answer.headers.items() if name.lower() not in HOP_BY_HOP}
            return web.Response(status=answer.status, body=await answer.read(), headers=kept)


@pytest.fixture
async def counter(config: Config) -> AsyncIterator[Counter]:
    async with aiohttp.ClientSession(auto_decompress=True) as session:
        yield Counter(config.server_url, session)


@pytest.fixture
async def gateway(deployment: Deployment, config: Config, counter: Counter) -> AsyncIterator[TestClient[Any, Any]]:
    """The API on the far side of the counter."""
    app = web.Application(client_max_size=2**26)
    app.router.add_route("*", "/{path:.*}", counter.pass_on)
    between = TestServer(app)
    await between.start_server()
    name, password = config.couch_admin
    url = f"http://{name}:{password}@{between.host}:{between.port}/{config.database}"
    client = TestClient(TestServer(create_app(config.with_couch_url(url))), headers=basic(name, password))
    await client.start_server()
    yield client
    await client.close()
    await between.close()


async def test_ten_messages_take_as_many_calls_as_one(
    deployment: Deployment, gateway: TestClient[Any, Any], counter: Counter
) -> None:
    async def calls_for(*names: str) -> list[str]:
        messages = [{"id": name, "from": CHW_PHONE, "content": f"PREG {name} 12"} for name in names]
        counter.seen.clear()
        answer = await gateway.post("/api/sms", json={"messages": messages})
        calls = list(counter.seen)
        assert len((await answer.json())["messages"]) == len(names)
        await acknowledge(await answer.json())
        await eventually(lambda: dated(names))
        return calls

    async def acknowledge(answer: Doc) -> None:
        updates = [{"id": message["id"], "status": "DELIVERED"} for message in answer["messages"]]
        assert (await (await gateway.post("/api/sms", json={"updates": updates})).json())["messages"] == []

    async def dated(names: tuple[str, ...]) -> bool:
        """Whether the infodocs, which are written after the answer, are complete."""
        rows = await deployment.sentinel_db.all_docs(include_docs=True)
        return sum("initial_replication_date" in row["doc"] for row in rows) >= len(names)

    await calls_for("first")
    one = await calls_for("one")
    ten = await calls_for(*(f"m{number}" for number in range(10)))

    assert len(ten) <= len(one) + 2, (one, ten)  # two more where a random short code was taken already
    reports = [row["doc"] for row in await deployment.db.all_docs(include_docs=True) if row["doc"].get("form")]
    assert len({report["patient_id"] for report in reports}) == 12
    assert all(report["contact"]["_id"] == "chw" for report in reports)
