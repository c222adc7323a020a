"""Cookies that are believed for their signature, and those that CouchDB must judge (AUTH-31, AUTH-34)."""

from __future__ import annotations

import base64
import hmac
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from api.app import create_app
from api.cookie_check import Cookie, CookieRules
from core.config import Config
from core.couch.client import Couch
from tests.conftest import Background, basic, eventually

Client = TestClient[Any, Any]
JSON = {"Accept": "application/json"}
NOW_S = 1_700_000_000
RULES = CookieRules(b"secret", ("sha256", "sha1"), 1000, frozenset({"admin"}))


def cookie(name: str = "asha", issued_s: int = NOW_S, key: bytes = b"secretsalt", digest: str = "sha256") -> str:
    signed = f"{name}:{issued_s:X}".encode()
    plain = signed + b":" + hmac.digest(key, signed, digest)
    return base64.urlsafe_b64encode(plain).decode().rstrip("=")


def accepts(value: str, now_s: float = NOW_S) -> bool:
    read = Cookie.read(value)
    return read is not None and RULES.accepts(read, "salt", now_s)


@pytest.mark.parametrize("digest", ["sha256", "sha1"])
def test_a_signature_in_any_digest_that_couchdb_uses_is_taken(digest: str) -> None:
    assert accepts(cookie(digest=digest))


@pytest.mark.parametrize(
    "value",
    [
        cookie(key=b"secret"),
        cookie(key=b"othersalt"),
        cookie(digest="sha512"),
        cookie(digest="md5"),
        cookie(name="admin"),
        cookie(name=""),
        cookie() + "!",
        "\n" + cookie(),
        cookie()[:-4],
        base64.urlsafe_b64encode(b"asha:+6553F100:x").decode(),
        base64.urlsafe_b64encode(b"asha:0x6553F100:x").decode(),
        base64.urlsafe_b64encode(b"asha").decode(),
        base64.urlsafe_b64encode(b"\xff:6553F100:x").decode(),
        "",
    ],
)
def test_anything_odd_is_left_to_couchdb(value: str) -> None:
    assert not accepts(value)


def test_a_cookie_that_is_old_or_due_for_renewal_is_left_to_couchdb() -> None:
    assert accepts(cookie(), NOW_S + 100)
    assert not accepts(cookie(), NOW_S + 101)  # AUTH-34
    assert not accepts(cookie(), NOW_S + 5000)


@pytest.mark.parametrize(
    "section",
    [
        {},
        {"chttpd_auth": {"secret": "", "timeout": "600"}},
        {"chttpd_auth": {"secret": "s", "timeout": "abc"}},
        {"chttpd_auth": {"secret": "s", "authentication_db": "people"}},
        {"chttpd_auth": {"secret": "s"}, "chttpd": {"authentication_handlers": "{chttpd_auth, default}"}},
    ],
)
def test_a_configuration_we_do_not_understand_leaves_all_cookies_to_couchdb(section: Any) -> None:
    assert CookieRules.from_config(section) is None


def test_digests_we_do_not_know_are_not_tried() -> None:
    rules = CookieRules.from_config({"chttpd_auth": {"secret": "s", "hash_algorithms": "sha512, blake2b,sha"}})

    assert rules is not None
    assert rules.digests == ("sha512", "sha1")


class Counted:
    """A server in front of CouchDB that counts the requests made of it."""

    def __init__(self, couch: str) -> None:
        self.couch = couch
        self.asked: list[str] = []
        app = web.Application()
        app.add_routes([web.route("*", "/{path:.*}", self.pass_on)])
        app.cleanup_ctx.append(self.open)
        self.server = TestServer(app)

    async def open(self, app: web.Application) -> AsyncIterator[None]:
        async with aiohttp.ClientSession(auto_decompress=False, cookie_jar=aiohttp.DummyCookieJar()) as self.session:
            yield

    async def pass_on(self, request: web.Request) -> web.StreamResponse:
        if "_changes" not in request.path:
            self.asked.append(f"{request.method} {request.path}")
        async with self.session.request(
            request.method, self.couch + request.path_qs, headers=request.headers, data=await request.read()
        ) as answer:
            names = ("Content-Type", "Set-Cookie")
            headers = [(name, value) for name, value in answer.headers.items() if name in names]
            response = web.Response(status=answer.status, body=await answer.read())
            for name, value in headers:
                response.headers[name] = value
            return response


@pytest.fixture
async def counted(couch: Couch, config: Config) -> AsyncIterator[Counted]:
    counted = Counted(config.server_url)
    await counted.server.start_server(shutdown_timeout=0.1)
    yield counted
    await counted.server.close()


@pytest.fixture
async def behind(counted: Counted, config: Config, indexer: Background) -> AsyncIterator[Client]:
    name, password = config.couch_admin
    url = f"http://{name}:{password}@127.0.0.1:{counted.server.port}/{config.database}"
    client = TestClient(TestServer(create_app(config.with_couch_url(url))), headers=basic(name, password))
    await client.start_server()
    yield client
    await client.close()


async def log_in(client: Client, login: Any) -> dict[str, str]:
    body = {"name": login.name, "password": login.password}
    answer = await client.post("/_session", json=body, headers={"Authorization": ""})
    return {**JSON, "Authorization": "", "Cookie": f"AuthSession={answer.cookies['AuthSession'].value}"}


async def test_a_session_is_checked_without_asking_couchdb(behind: Client, counted: Counted, make_user: Any) -> None:
    asha = await make_user("asha", roles=["data_entry"], contact_id="p")
    first, second = await log_in(behind, asha), await log_in(behind, asha)
    await log_in(behind, asha)

    assert (await behind.get("/api/v1/settings", headers=first)).status == 200
    counted.asked.clear()
    for headers in (first, second, first):
        assert (await behind.get("/api/v1/settings", headers=headers)).status == 200
    assert counted.asked == []


async def change_password(couch: Couch, doc: Any) -> None:
    await couch.db("_users").put({**doc, "password": "another-123"})


async def delete(couch: Couch, doc: Any) -> None:
    await couch.db("_users").delete(doc["_id"], doc["_rev"])


@pytest.mark.parametrize("end", [change_password, delete])
async def test_a_signed_session_ends_with_its_password_or_account(
    client: Client, make_user: Any, couch: Couch, end: Callable[[Couch, Any], Awaitable[None]]
) -> None:
    asha = await make_user("asha", roles=["data_entry"])
    session = await log_in(client, asha)
    assert (await client.get("/api/deploy-info", headers=session)).status == 200
    await end(couch, await couch.db("_users").get(f"org.couchdb.user:{asha.name}"))

    async def refused() -> bool:
        return (await client.get("/api/deploy-info", headers=session)).status == 401

    assert await eventually(refused, within_s=5)  # AUTH-23


async def test_a_signed_session_has_the_roles_of_now(client: Client, make_user: Any, couch: Couch) -> None:
    officer = await make_user("officer", roles=["program_officer"])
    session = await log_in(client, officer)
    assert (await client.put("/api/v1/settings", json={}, headers=session)).status == 200
    doc = await couch.db("_users").get(f"org.couchdb.user:{officer.name}")
    await couch.db("_users").put({**doc, "roles": ["data_entry"]})

    async def refused() -> bool:
        return (await client.put("/api/v1/settings", json={}, headers=session)).status == 403

    assert await eventually(refused, within_s=5)  # AUTH-45


async def test_a_signature_is_not_enough_where_the_account_has_conflicts(
    client: Client, make_user: Any, couch: Couch
) -> None:
    asha = await make_user("asha", roles=["data_entry"])
    session = await log_in(client, asha)
    users = couch.db("_users")
    doc = await users.get(f"org.couchdb.user:{asha.name}")
    rival = {**doc, "roles": ["program_officer"], "_rev": "1-" + "0" * 32}
    await users.bulk_docs([rival], new_edits=False)

    async def judged_alike() -> bool:
        by_couchdb = await client.get("/_session", headers=session)
        by_us = await client.get("/api/deploy-info", headers=session)
        return by_us.status == by_couchdb.status

    await eventually(judged_alike)  # CouchDB's own memory of accounts follows its feed
    await users.delete(doc["_id"], rival["_rev"])
