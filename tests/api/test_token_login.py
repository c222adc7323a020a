"""Logging in by the link of an SMS, through HTTP (AUTH-80..84, EP-USR-60..63)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import pytest
import time_machine
from aiohttp import ClientResponse
from aiohttp.test_utils import TestClient

from core.couch.client import Couch, Database
from tests.api.test_login import ANONYMOUS, set_cookies

Client = TestClient[Any, Any]
PHONE = "+254711000111"
UNKNOWN = "a" * 64


class Guest:
    """A user who was sent a link."""

    def __init__(self, name: str, token: str) -> None:
        self.name = name
        self.token = token
        self.path = f"/medic/login/token/{quote(token, safe='')}"


@pytest.fixture
async def links(client: Client) -> None:
    settings = {"token_login": {"enabled": True, "message": "Hello {{name}}"}, "app_url": "https://h.example/"}
    assert (await client.put("/api/v1/settings", json=settings)).status == 200


@pytest.fixture
async def guest(client: Client, couch: Couch, db: Database, links: None) -> AsyncIterator[Guest]:
    name = f"guest-{db.name[-6:]}"
    body = {"username": name, "roles": ["data_entry"], "token_login": True, "phone": PHONE}
    answer = await client.post("/api/v1/users", json=body)
    assert answer.status == 200, await answer.text()
    account = await couch.db("_users").get(f"org.couchdb.user:{name}")
    yield Guest(name, account["token_login"]["token"])
    account = await couch.db("_users").find(f"org.couchdb.user:{name}")
    if account:
        await couch.db("_users").delete(account["_id"], account["_rev"])


async def use(client: Client, path: str, body: Any = None, **headers: str) -> ClientResponse:
    client.session.cookie_jar.clear()
    options: Any = {"json": body or {}, "headers": {**ANONYMOUS, **headers}, "allow_redirects": False}
    return await client.post(path, **options)


async def test_the_link_that_was_sent_logs_in(client: Client, db: Database, couch: Couch, guest: Guest) -> None:
    sent = await db.get(f"token:login:{guest.token}")
    texts = [task["messages"][0]["message"] for task in sent["tasks"]]
    answer = await use(client, guest.path, {"locale": "sw"})

    assert texts == [f"Hello {guest.name}", f"https://h.example/medic/login/token/{guest.token}"]  # EP-USR-61, MOD-7
    assert (answer.status, await answer.text()) == (302, "/")  # AUTH-82
    cookies = set_cookies(answer)
    assert {"AuthSession", "userCtx", "locale"} <= set(cookies)
    assert cookies["locale"].startswith("locale=sw;")
    session = cookies["AuthSession"].partition("=")[2].partition(";")[0]
    known = await client.get("/_session", headers={"Authorization": "", "Cookie": f"AuthSession={session}"})
    assert (await known.json())["userCtx"]["name"] == guest.name
    account = await couch.db("_users").get(f"org.couchdb.user:{guest.name}")
    profile = await db.get(f"org.couchdb.user:{guest.name}")
    for doc in (account, profile):
        assert doc["token_login"]["active"] is False
        assert doc["token_login"]["login_date"] > 0


async def test_a_link_works_once(client: Client, guest: Guest) -> None:
    first, second = await use(client, guest.path), await use(client, guest.path)

    assert first.status == 302
    assert (second.status, await second.json()) == (401, {"error": "invalid"})  # AUTH-83
    assert "Set-Cookie" not in second.headers


async def test_of_many_at_once_a_link_lets_one_in(client: Client, guest: Guest) -> None:
    answers = await asyncio.gather(
        *(client.post(guest.path, json={}, headers=ANONYMOUS, allow_redirects=False) for _ in range(6))
    )

    assert sorted(answer.status for answer in answers) == [302, 401, 401, 401, 401, 401]  # AUTH-83


async def test_looking_at_the_page_does_not_use_the_link(client: Client, guest: Guest) -> None:
    page = await client.get(guest.path, headers=ANONYMOUS)
    text = await page.text()

    assert (page.status, page.content_type) == (200, "text/html")  # AUTH-81
    assert 'data-submit="now"' in text
    assert guest.token not in text
    assert (await use(client, guest.path)).status == 302


async def test_the_page_works_as_a_plain_form(client: Client, guest: Guest) -> None:
    options: Any = {"data": {"locale": "en"}, "headers": ANONYMOUS, "allow_redirects": False}
    right = await client.post(guest.path, **options)
    client.session.cookie_jar.clear()
    again = await client.post(guest.path, **options)

    assert (right.status, right.headers["Location"]) == (303, "/")
    assert again.status == 401
    assert "This link is not valid" in await again.text()


async def test_who_is_logged_in_already_goes_on_and_the_link_stays(
    client: Client, guest: Guest, make_user: Any
) -> None:
    officer = await make_user("officer", roles=["program_officer"])
    answer = await use(client, guest.path, None, **officer)

    assert (answer.status, await answer.text()) == (302, "/admin/")  # AUTH-82, first step
    assert (await use(client, guest.path)).status == 302


async def test_an_expired_link_is_refused(client: Client, guest: Guest) -> None:
    with time_machine.travel(4_000_000_000, tick=True):
        answer = await use(client, guest.path)

    assert (answer.status, await answer.json()) == (401, {"error": "expired"})  # AUTH-82


@pytest.mark.parametrize("token", [UNKNOWN, "x", "a" * 63 + "%2F", "%00" * 64, "...", "a" * 5000])
async def test_an_unknown_token_is_refused(client: Client, links: None, token: str) -> None:
    answer = await use(client, f"/medic/login/token/{token}")

    assert answer.status in (401, 404)
    if answer.status == 401:
        assert await answer.json() == {"error": "invalid"}


@pytest.mark.parametrize("path", ["/medic/login/token", "/medic/login/token/"])
async def test_a_link_without_its_token_says_so(client: Client, links: None, path: str) -> None:
    answer = await use(client, path)

    assert (answer.status, await answer.json()) == (400, {"error": "missing", "reason": "Missing required param"})


async def test_links_are_off_by_default(client: Client) -> None:
    answer = await use(client, f"/medic/login/token/{UNKNOWN}")

    assert (answer.status, await answer.json()) == (400, {"error": "disabled", "reason": "Token login disabled"})


async def test_a_new_link_ends_the_old_one(client: Client, couch: Couch, guest: Guest) -> None:
    answer = await client.post(f"/api/v1/users/{guest.name}", json={"token_login": True})
    account = await couch.db("_users").get(f"org.couchdb.user:{guest.name}")

    assert set(await answer.json()) == {"user", "user-settings", "token_login"}  # EP-USR-56
    assert (await use(client, guest.path)).status == 401
    assert (await use(client, f"/medic/login/token/{quote(account['token_login']['token'], safe='')}")).status == 302


async def test_a_link_ends_with_its_account(client: Client, guest: Guest) -> None:
    assert (await client.delete(f"/api/v1/users/{guest.name}")).status == 200

    assert (await use(client, guest.path)).status == 401  # AUTH-82


async def test_guessed_tokens_are_slowed_down(client: Client, links: None) -> None:
    path = f"/medic/login/token/{UNKNOWN}"

    assert [(await use(client, path)).status for _ in range(11)] == [401] * 10 + [429]  # AUTH-101
