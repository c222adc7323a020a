"""Failed logins are counted and soon refused (AUTH-5, AUTH-100..102)."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
import time_machine
from aiohttp.test_utils import TestClient, TestServer
from fakeredis import FakeAsyncRedis, FakeServer

from api.app import create_app
from api.login_limits import LoginLimits, redis_storage
from core.config import Config
from core.couch.client import Couch
from tests.api.raw import raw
from tests.conftest import Background, basic, free_port

Client = TestClient[Any, Any]
JSON = {"Accept": "application/json"}
ANONYMOUS = {"Authorization": "", **JSON}


async def guess(client: Client, name: str, password: str = "wrong", **headers: str) -> int:
    answer = await client.get("/api/deploy-info", headers={**JSON, **basic(name, password), **headers})
    return answer.status


def assert_slowed_down(statuses: list[int]) -> None:
    """Ten guesses at one account are refused as wrong and the eleventh at once; CouchDB has locked it after five."""
    refused = statuses.count(429)
    assert statuses == [statuses[0]] * (11 - refused) + [429] * refused
    assert refused in (1, 6)


async def guesses(client: Client, count: int, **headers: str) -> list[int]:
    """Wrong guesses, each of another user and password."""
    return [await guess(client, f"user{n}", f"wrong{n}", **headers) for n in range(count)]


async def test_the_eleventh_wrong_login_is_refused_until_ten_seconds_have_passed(client: Client) -> None:
    with time_machine.travel(1_700_000_000, tick=False) as clock:
        first = await guesses(client, 10)
        eleventh = await client.get("/api/deploy-info", headers={**JSON, **basic("user", "wrong")})
        as_text = await client.get("/api/deploy-info", headers=basic("user", "wrong"))
        clock.shift(10.1)
        later = await guess(client, "user")

    assert first == [401] * 10  # 10 §10 check 8
    assert (eleventh.status, await eleventh.json()) == (429, {"code": 429, "error": "Too Many Requests"})  # AUTH-101
    assert (as_text.status, await as_text.text()) == (429, "Too Many Requests")
    assert later == 401


async def test_guesses_at_the_servers_own_account_do_not_make_couchdb_lock_it(client: Client, config: Config) -> None:
    name, password = config.couch_admin
    fields = {"name": name, "password": "wrong"}
    statuses = {
        await guess(client, name, "wrong"),
        await guess(client, name, "wrong", Cookie="AuthSession=YWRtaW46MTo"),
        (await client.post("/_session", json=fields, headers=ANONYMOUS)).status,
        (await client.post("/_session", json={**fields, "name": "x", "username": name}, headers=ANONYMOUS)).status,
        (await client.post("/_session", data=fields, headers=ANONYMOUS)).status,
        (await client.post("/medic/login", json={"user": name, "password": "wrong"}, headers=ANONYMOUS)).status,
        (await client.post("/medic/login", data={"user": name, "password": "wrong"}, headers=ANONYMOUS)).status,
    }

    assert statuses == {401}
    assert await guess(client, name, password) == 200


@pytest.mark.parametrize(
    ("path", "name"),
    [("/_session", "name"), ("//_session", "name"), ("/medic/login", "user"), ("/medic/%6Cogin", "user")],
)
@pytest.mark.parametrize("form", [False, True], ids=["json", "form"])
async def test_logins_by_post_are_counted_however_they_are_written(
    client: Client, path: str, name: str, form: bool
) -> None:
    body = {name: f"nobody-{uuid4()}", "password": "wrong"}
    sent: Any = {"data": body} if form else {"json": body}
    statuses = [(await raw(client, "POST", path, headers=ANONYMOUS, **sent)).status for _ in range(11)]

    assert_slowed_down(statuses)


async def test_a_user_is_guarded_from_guesses_of_many_addresses(client: Client) -> None:
    for n in range(10):
        await guess(client, "asha", f"wrong{n}", **{"X-Forwarded-For": f"192.0.2.{n}"})

    assert await guess(client, "asha", "wrong", **{"X-Forwarded-For": "192.0.2.100"}) == 429  # AUTH-100
    assert await guess(client, "juma", "other", **{"X-Forwarded-For": "192.0.2.100"}) == 401


async def test_one_password_tried_on_many_users_is_refused(client: Client) -> None:
    for n in range(10):
        await guess(client, f"user{n}", "Spring-2026", **{"X-Forwarded-For": f"192.0.2.{n}"})

    assert await guess(client, "juma", "Spring-2026", **{"X-Forwarded-For": "192.0.2.100"}) == 429  # AUTH-100


async def test_browsers_that_are_redirected_to_the_login_page_are_counted_too(client: Client) -> None:
    for n in range(10):
        headers = {**basic(f"user{n}", f"wrong{n}"), "User-Agent": "Mozilla/5.0"}
        assert (await client.get("/api/deploy-info", headers=headers, allow_redirects=False)).status == 302

    assert await guess(client, "juma") == 429


async def test_cookies_and_anonymous_requests_are_never_limited(client: Client, make_user: Any) -> None:
    asha = await make_user("asha", roles=["data_entry"])
    login = {"name": asha.name, "password": asha.password}
    session = (await client.post("/_session", json=login, headers=ANONYMOUS)).cookies["AuthSession"].value
    client.session.cookie_jar.clear()
    with_cookie = {**ANONYMOUS, "Cookie": f"AuthSession={session}"}
    assert await guesses(client, 11) == [401] * 10 + [429]

    assert (await client.get("/api/deploy-info", headers=with_cookie)).status == 200  # AUTH-101
    assert (await client.get("/api/deploy-info", headers=ANONYMOUS)).status == 401
    assert (await client.get("/api/info", headers=ANONYMOUS)).status == 200


async def test_the_right_password_uses_nothing_up(client: Client, make_user: Any) -> None:
    asha = await make_user("asha", roles=["data_entry"])

    assert [await guess(client, asha.name, asha.password) for _ in range(15)] == [200] * 15


async def test_an_address_cannot_be_forged_by_whoever_is_no_trusted_proxy(
    couch: Couch, config: Config, indexer: Background
) -> None:
    async with TestClient(TestServer(create_app(config.replace(trusted_proxies=frozenset())))) as client:
        forged = [await guess(client, f"u{n}", f"w{n}", **{"X-Forwarded-For": f"192.0.2.{n}"}) for n in range(11)]

    assert forged == [401] * 10 + [429]  # AUTH-17


async def test_the_limit_can_be_switched_off(couch: Couch, config: Config, indexer: Background) -> None:
    async with TestClient(TestServer(create_app(config.replace(login_failures=0)))) as client:
        assert await guesses(client, 12) == [401] * 12


async def test_redis_counts_for_all_machines(config: Config) -> None:
    server = FakeServer()
    pools = [FakeAsyncRedis(server=server).connection_pool for _ in range(2)]
    one, other = (LoginLimits(config, redis_storage("redis://127.0.0.1:1", connection_pool=pool)) for pool in pools)
    key = one.key("user", "asha")
    for limits in (one, other) * 5:
        assert not await limits.are_exhausted([key])
        await limits.count([key])

    assert await one.are_exhausted([key])
    assert await other.are_exhausted([other.key("user", "asha")])
    assert not await other.are_exhausted([other.key("user", "juma")])
    for limits in (one, other):
        await limits.close()


async def test_neither_names_nor_passwords_are_kept(config: Config) -> None:
    key = LoginLimits(config).key("password", "secret-12")

    assert "secret" not in key  # AUTH-102
    assert key != LoginLimits(config.with_couch_url("http://admin:other@127.0.0.1/medic")).key("password", "secret-12")


async def test_logins_go_on_while_redis_is_away(couch: Couch, config: Config, indexer: Background) -> None:
    away = config.replace(redis_url=f"redis://127.0.0.1:{free_port()}")
    async with TestClient(TestServer(create_app(away))) as client:
        assert await guesses(client, 11) == [401] * 10 + [429]


def test_an_address_that_is_no_redis_is_named() -> None:
    with pytest.raises(ValueError, match="REDIS_URL must look like redis://host:6379"):
        Config.from_env({"REDIS_URL": "http://127.0.0.1:6379"})
