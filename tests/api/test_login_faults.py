"""Logins and sessions at a CouchDB that fails, or answers what it should not (AUTH-35, AUTH-67)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from api.app import create_app
from core.config import Config
from tests.api.scripted_couch import ScriptedCouch
from tests.conftest import basic, free_port

Client = TestClient[Any, Any]
LOGIN = {"user": "asha", "password": "secret"}


class NoSession(ScriptedCouch):
    """Takes every password; what it says of sessions is `told`."""

    def __init__(self) -> None:
        super().__init__()
        self.told: tuple[int, Any] = (500, {"error": "broken", "reason": "broken"})
        self.server.app.router.add_post("/_session", self.log_in)

    async def log_in(self, _: web.Request) -> web.Response:
        cookie = "AuthSession=YXNoYTo2; Version=1; Max-Age=600; Path=/; HttpOnly"
        return web.json_response({"ok": True, "name": "asha", "roles": []}, headers={"Set-Cookie": cookie})

    async def session(self, _: web.Request) -> web.Response:
        status, body = self.told
        return web.json_response(body, status=status)


@pytest.fixture
async def couch() -> AsyncIterator[NoSession]:
    couch = NoSession()
    await couch.server.start_server(shutdown_timeout=0.1)
    yield couch
    await couch.server.close()


@pytest.fixture
async def front(couch: NoSession, tmp_path: Path) -> AsyncIterator[Client]:
    url = f"http://admin:secret@127.0.0.1:{couch.server.port}/medic"
    config = Config(data=tmp_path, port=free_port()).with_couch_url(url)
    async with TestClient(TestServer(create_app(config))) as client:
        yield client


async def test_a_right_password_whose_account_cannot_be_read_is_no_login(front: Client) -> None:
    answer = await front.post("/medic/login", json=LOGIN)

    assert (answer.status, await answer.json()) == (401, {"error": "Error getting authCtx"})  # AUTH-67
    assert "Set-Cookie" not in answer.headers


async def test_a_login_while_couchdb_is_away_says_no_more_than_that(front: Client, couch: NoSession) -> None:
    await couch.server.close()

    answer = await front.post("/medic/login", json=LOGIN, headers={"Accept": "text/html"})

    assert (answer.status, await answer.json()) == (500, {"error": "Unexpected error logging in"})  # AUTH-67, AUTH-68


async def test_a_session_without_a_name_is_nobodys(front: Client, couch: NoSession) -> None:
    couch.told = (200, {"ok": True, "userCtx": {"name": None, "roles": ["_admin"]}})
    headers = {**basic("asha", "secret"), "Accept": "application/json"}

    answer = await front.get("/api/deploy-info", headers=headers)

    assert (answer.status, await answer.json()) == (401, {"code": 401, "error": "unauthorized"})  # AUTH-35
