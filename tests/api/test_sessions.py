"""Whose request it is: cookies, Basic, what is remembered and when it is forgotten (10 §3)."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import uuid4

from aiohttp.test_utils import TestClient

from core.couch.client import Couch
from tests.conftest import eventually

Client = TestClient[Any, Any]
JSON = {"Accept": "application/json"}
ANONYMOUS = {"Authorization": "", **JSON}


async def session_of(client: Client, login: Any) -> str:
    body = {"name": login.name, "password": login.password}
    answer = await client.post("/_session", json=body, headers=ANONYMOUS)
    return str(answer.cookies["AuthSession"].value)


async def test_post_session_logs_in_with_json_or_a_form(client: Client, make_user: Any) -> None:
    asha = await make_user("asha", roles=["chw"])
    in_json = await client.post("/_session", json={"name": asha.name, "password": asha.password}, headers=ANONYMOUS)
    as_form = await client.post("/_session", data={"name": asha.name, "password": asha.password}, headers=ANONYMOUS)

    for answer in (in_json, as_form):
        assert (answer.status, await answer.json()) == (200, {"ok": True, "name": asha.name, "roles": ["chw"]})
        assert "AuthSession" in answer.cookies  # AUTH-40


async def test_a_session_made_over_https_is_for_https_only(client: Client, make_user: Any) -> None:
    asha = await make_user("asha", roles=["chw"])
    body = {"name": asha.name, "password": asha.password}
    answer = await client.post("/_session", json=body, headers={**ANONYMOUS, "X-Forwarded-Proto": "https"})

    assert "; Secure" in answer.headers["Set-Cookie"]  # AUTH-17, AUTH-62


async def test_post_session_with_a_wrong_password_keeps_couchdbs_answer(client: Client) -> None:
    answer = await client.post("/_session", json={"name": f"nobody-{uuid4()}", "password": "x"}, headers=ANONYMOUS)

    assert answer.status == 401  # AUTH-40
    assert await answer.json() == {"error": "unauthorized", "reason": "Name or password is incorrect."}
    assert answer.headers["logout-authorization"] == "CHT-Core API"  # ERR-6


async def test_get_session_of_nobody_is_our_401(client: Client) -> None:
    answer = await client.get("/_session", headers=ANONYMOUS)

    assert (answer.status, await answer.json()) == (401, {"code": 401, "error": "unauthorized"})  # AUTH-41


async def test_get_session_renews_the_user_context_and_nothing_else(client: Client, make_user: Any) -> None:
    asha = await make_user("asha", roles=["chw"])
    cookie = f"AuthSession={await session_of(client, asha)}; userCtx=%7B%22name%22%3A%22asha%22%7D"
    answer = await client.get("/_session", headers={**ANONYMOUS, "Cookie": cookie})

    assert answer.status == 200
    [renewed] = answer.headers.getall("Set-Cookie")  # AUTH-43, 10 §10 check 4
    assert renewed.startswith("userCtx=%7B%22name%22%3A%22asha%22%7D;")
    assert "Max-Age=31536000" in renewed


async def test_delete_session_works_without_a_session(client: Client) -> None:
    answer = await client.delete("/_session", headers=ANONYMOUS)

    assert (answer.status, await answer.json()) == (200, {"ok": True})  # AUTH-42, AUTH-71
    assert answer.cookies["AuthSession"].value == ""


async def test_a_valid_cookie_wins_over_basic(client: Client, make_user: Any) -> None:
    asha, juma = await make_user("asha", roles=["data_entry"]), await make_user("juma", roles=["data_entry"])
    headers = {**juma, **JSON, "Cookie": f"AuthSession={await session_of(client, asha)}"}
    answer = await client.get("/_session", headers=headers)

    assert (await answer.json())["userCtx"]["name"] == asha.name  # AUTH-31


async def test_a_password_may_hold_colons(client: Client, make_user: Any) -> None:
    asha = await make_user("asha", roles=["data_entry"], password="a:b:c-12345")

    assert (await client.get("/api/deploy-info", headers=asha)).status == 200  # AUTH-30


async def test_changed_roles_hold_from_the_next_request_on(client: Client, make_user: Any, couch: Couch) -> None:
    officer = await make_user("officer", roles=["program_officer"])
    assert (await client.put("/api/v1/settings", json={}, headers=officer)).status == 200
    users = couch.db("_users")
    doc = await users.get(f"org.couchdb.user:{officer.name}")
    await users.put({**doc, "roles": ["data_entry"]})

    async def refused() -> bool:
        return (await client.put("/api/v1/settings", json={}, headers=officer)).status == 403

    assert await eventually(refused, within_s=5)  # AUTH-45


async def test_a_changed_password_ends_basic_and_cookie_sessions(client: Client, make_user: Any, couch: Couch) -> None:
    asha = await make_user("asha", roles=["data_entry"])
    cookie = {**ANONYMOUS, "Cookie": f"AuthSession={await session_of(client, asha)}"}
    for headers in (asha, cookie):
        assert (await client.get("/api/deploy-info", headers=headers)).status == 200
    users = couch.db("_users")
    doc = await users.get(f"org.couchdb.user:{asha.name}")
    await users.put({**doc, "password": "another-123"})

    async def both_refused() -> bool:
        answers = [await client.get("/api/deploy-info", headers={**JSON, **headers}) for headers in (asha, cookie)]
        return all(answer.status == 401 for answer in answers)

    assert await eventually(both_refused, within_s=5)  # AUTH-23


async def test_a_deleted_account_is_logged_out(client: Client, make_user: Any, couch: Couch) -> None:
    asha = await make_user("asha", roles=["data_entry"])
    assert (await client.get("/api/deploy-info", headers=asha)).status == 200
    users = couch.db("_users")
    doc = await users.get(f"org.couchdb.user:{asha.name}")
    await users.delete(doc["_id"], doc["_rev"])

    async def refused() -> bool:
        return (await client.get("/api/deploy-info", headers={**asha, **JSON})).status == 401

    assert await eventually(refused, within_s=5)  # AUTH-23


async def test_many_requests_at_once_are_all_the_callers_own(client: Client, make_user: Any) -> None:
    logins = [await make_user(f"user{n}", roles=["data_entry"]) for n in range(3)]

    async def name_seen(login: Any) -> str:
        answer = await client.get("/medic/login/identity", headers=login)
        return str(answer.cookies["userCtx"].value)

    seen = await asyncio.gather(*(name_seen(login) for login in logins * 10))
    assert all(login.name in value for login, value in zip(logins * 10, seen, strict=True))


async def test_forged_identity_headers_are_not_believed(client: Client, make_user: Any) -> None:
    asha = await make_user("asha", roles=["data_entry"])
    forged = {"X-Medic-User": "admin", "X-Auth-CouchDB-UserName": "admin", "X-Auth-CouchDB-Roles": "_admin"}

    anonymous = await client.get("/_all_dbs", headers={**ANONYMOUS, **forged})
    known = await client.get("/_users/_all_docs", headers={**asha, **forged, **JSON})
    assert anonymous.status == 401  # AUTH-12
    assert known.status in (401, 403)
