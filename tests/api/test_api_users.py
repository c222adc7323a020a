"""/api/v1/users over HTTP: who may do what, and what is answered."""

from __future__ import annotations

from typing import Any

import pytest
from aiohttp.test_utils import TestClient

from core.couch.client import Database
from tests.conftest import basic, eventually

Client = TestClient[Any, Any]
JSON = {"Accept": "application/json"}


@pytest.fixture
def name(new_name: str) -> str:
    return new_name


@pytest.fixture
async def mary(client: Client, name: str) -> dict[str, str]:
    """An offline user made through the API, and her Basic header."""
    place = {"name": "Busia", "type": "district_hospital"}
    body = {"username": name, "password": "secret", "roles": ["chw"], "place": place, "contact": {"name": "Mary"}}
    answer = await client.post("/api/v1/users", json=body)
    assert answer.status == 200, await answer.text()
    return basic(name, "secret")


async def told(answer: Any) -> tuple[int, str]:
    return answer.status, await answer.text()


async def test_documented_user_can_log_in_at_once(client: Client, db: Database, name: str) -> None:
    parent = await (await client.post("/api/v1/places", json={"name": "D", "type": "district_hospital"})).json()
    body = {
        "password": "secret",
        "username": name,
        "type": "district-manager",
        "place": {"name": "Mary's Area", "type": "health_center", "parent": parent["id"]},
        "contact": {"name": "Mary Anyango", "phone": "+2868917046"},
    }

    answer = await client.post("/api/v1/users", json=body)

    members = await answer.json()
    assert answer.status == 200
    assert {each: sorted(members[each]) for each in members} == {
        "contact": ["id", "rev"],
        "user-settings": ["id", "rev"],
        "user": ["id", "rev"],
    }  # EP-USR-23, AUTH-20
    session = await (await client.get("/_session", headers={**basic(name, "secret"), **JSON})).json()
    assert session["userCtx"]["name"] == name
    assert "mm-online" in session["userCtx"]["roles"]


async def test_taken_name_is_409_in_the_documented_words(client: Client, mary: Any, name: str) -> None:
    body = {"username": name, "password": "secret", "roles": ["data_entry"]}

    as_text = await client.post("/api/v1/users", json=body)
    as_json = await client.post("/api/v1/users", json=body, headers=JSON)

    assert await told(as_text) == (409, "Document update conflict.")  # EP-USR-26
    assert as_text.content_type == "text/plain"
    assert await as_json.json() == {"code": 409, "error": "Document update conflict."}


async def test_refusal_carries_a_key_to_translate(client: Client) -> None:
    as_json = await client.post("/api/v1/users", json={}, headers=JSON)
    as_text = await client.post("/api/v1/users", json={})

    text = "Missing required fields: username, password, type or roles"
    assert as_json.status == 400
    assert await as_json.json() == {
        "code": 400,
        "error": {
            "message": text,
            "translationKey": "fields.required",
            "translationParams": {"fields": "username, password, type or roles"},
        },
    }  # ERR-7
    assert await told(as_text) == (400, text)


async def test_password_policy_is_a_setting(client: Client, name: str) -> None:
    assert (await client.put("/api/v1/settings", json={"password_policy": "cht"})).status == 200
    body = {"username": name, "password": "password", "roles": ["data_entry"]}

    weak = await client.post("/api/v1/users", json=body)
    strong = await client.post("/api/v1/users", json={**body, "password": "Blue-kite-77"})

    assert weak.status == 400  # EP-USR-40
    assert strong.status == 200


async def test_a_new_user_is_checked_step_by_step(client: Client, mary: Any, name: str) -> None:
    place = {"name": "North", "type": "district_hospital"}
    body: dict[str, Any] = {"roles": ["chw"], "username": name, "password": "x", "place": "nowhere"}
    steps = [
        ({}, "Missing required fields: contact"),
        ({"contact": "nobody", "token_login": True}, "Missing required fields: phone"),
        ({"phone": "123"}, "A valid phone number is required for SMS login."),
        ({"token_login": False}, "The password must be at least 8 characters long."),
        ({"password": "Green-boat-12"}, "Document update conflict."),
        ({"username": f"{name}-2"}, "Failed to find place."),
        ({"place": place}, "Failed to find person."),
    ]
    settings = {"token_login": {"enabled": True}, "password_policy": "cht"}
    assert (await client.put("/api/v1/settings", json=settings)).status == 200

    for repair, message in steps:
        body |= repair
        assert (await told(await client.post("/api/v1/users", json=body)))[1] == message  # EP-USR-24


async def test_creating_needs_a_permission_for_each_thing_created(client: Client, make_user: Any, name: str) -> None:
    settings = {"permissions": {"can_create_users": ["data_entry"], "can_create_people": [], "can_create_places": []}}
    assert (await client.put("/api/v1/settings", json=settings)).status == 200
    clerk = await make_user("clerk", roles=["data_entry"])
    other = await make_user("other", roles=["analytics"])
    body = {"username": name, "password": "secret", "roles": ["data_entry"]}

    async def status(login: Any, **members: Any) -> int:
        return (await client.post("/api/v1/users", json={**body, **members}, headers=login)).status

    assert await status(other) == 403
    assert await status(clerk, place={"name": "D", "type": "district_hospital"}) == 403  # EP-USR-22, DIV-24
    assert await status(clerk, contact={"name": "N"}) == 403
    assert await status(clerk) == 200


async def test_users_are_listed_to_those_who_may_see_them(client: Client, make_user: Any, mary: Any, name: str) -> None:
    officer = await make_user("officer", roles=["program_officer"])
    clerk = await make_user("clerk", roles=["data_entry"])

    seen = await client.get("/api/v1/users", headers=officer)
    hidden = await client.get("/api/v1/users", headers=clerk)

    [user] = [each for each in await seen.json() if each["username"] == name]
    assert user["type"] == "chw"
    assert (user["place"]["name"], user["place"]["contact"]["name"]) == ("Busia", "Mary")  # EP-USR-11
    assert hidden.status == 403


# --- changing oneself (EP-USR-51) -------------------------------------------------------------------------------------


async def test_users_change_their_own_profile_with_a_cookie(client: Client, db: Database, mary: Any, name: str) -> None:
    cookie = await session_cookie(client, name)

    answer = await client.post(f"/api/v1/users/{name}", json={"fullname": "Mary A.", "language": "sw"}, headers=cookie)

    assert answer.status == 200
    assert set(await answer.json()) == {"user", "user-settings"}
    assert (await db.get(f"org.couchdb.user:{name}"))["fullname"] == "Mary A."


async def test_own_password_is_changed_only_with_basic_credentials(client: Client, mary: Any, name: str) -> None:
    cookie = await session_cookie(client, name)
    body = {"password": "other-secret"}

    by_cookie = await client.post(f"/api/v1/users/{name}", json=body, headers=cookie)
    by_basic = await client.post(f"/api/v1/users/{name}", json=body, headers=mary)

    assert await told(by_cookie) == (403, "You must authenticate with Basic Auth to modify your password")
    assert by_basic.status == 200

    async def statuses() -> tuple[int, int, int]:
        logins = (basic(name, "other-secret"), mary, cookie)
        answers = [await client.get("/api/v1/settings", headers=login) for login in logins]
        return answers[0].status, answers[1].status, answers[2].status

    async def old_logins_ended() -> bool:
        return await statuses() == (200, 401, 401)

    assert await eventually(old_logins_ended)  # EP-USR-59


@pytest.mark.parametrize("members", [{"roles": ["data_entry"]}, {"place": "x"}, {"contact": "x", "fullname": "X"}])
async def test_users_cannot_move_or_promote_themselves(
    client: Client, db: Database, mary: Any, name: str, members: Any
) -> None:
    before = await db.get(f"org.couchdb.user:{name}")

    answer = await client.post(f"/api/v1/users/{name}", json=members, headers={**mary, **JSON})

    assert (answer.status, await answer.json()) == (401, {"code": 401, "error": "unauthorized"})
    assert await db.get(f"org.couchdb.user:{name}") == before


async def test_wrong_basic_credentials_are_401_even_with_a_valid_cookie(client: Client, mary: Any, name: str) -> None:
    login = {**await session_cookie(client, name), **basic(name, "wrong"), **JSON}

    answer = await client.post(f"/api/v1/users/{name}", json={"fullname": "X"}, headers=login)

    assert answer.status == 401


async def test_users_cannot_change_others(client: Client, make_user: Any, mary: Any, name: str) -> None:
    other = await make_user("other", roles=["data_entry"])
    cookie = await session_cookie(client, name)

    answer = await client.post(f"/api/v1/users/{name}", json={"fullname": "X"}, headers=other)
    mixed = await client.post(f"/api/v1/users/{name}", json={"fullname": "X"}, headers={**cookie, **other})

    assert await told(answer) == (403, "You do not have permissions to modify this person")
    assert mixed.status == 403


# --- changing and ending as an administrator --------------------------------------------------------------------------


async def test_moving_an_account_needs_the_permissions_for_places_and_people(
    client: Client, make_user: Any, mary: Any, name: str
) -> None:
    officer = await make_user("officer", roles=["program_officer"])
    place = await (await client.post("/api/v1/places", json={"name": "E", "type": "district_hospital"})).json()

    async def status(body: Any) -> int:
        return (await client.post(f"/api/v1/users/{name}", json=body, headers=officer)).status

    assert await status({"password": "secret", "fullname": "M"}) == 200
    withdrawn = {"permissions": {"can_update_places": []}}
    assert (await client.put("/api/v1/settings", json=withdrawn)).status == 200
    assert await status({"place": place["id"]}) == 403
    assert await status({"contact": None}) == 403
    assert (await client.post(f"/api/v1/users/{name}", json={"place": place["id"]})).status == 200


async def test_statuses_of_bad_updates(client: Client, mary: Any, name: str) -> None:
    async def post(path: str, body: Any) -> tuple[int, str]:
        return await told(await client.post(path, json=body))

    empty = "Request body is empty or Content-Type header was not set to application/json."
    assert await post(f"/api/v1/users/{name}", {}) == (400, empty)  # EP-USR-50
    assert (await post(f"/api/v1/users/{name}", {"x": 1}))[0] == 400  # EP-USR-52
    assert await post(f"/api/v1/users/{name}", {"place": "nowhere"}) == (404, "Failed to find place.")
    assert await post("/api/v1/users/nobody", {"fullname": "X"}) == (404, "Failed to find user.")
    assert (await client.delete("/api/v1/users/nobody")).status == 404


async def test_deleted_user_is_logged_out_and_place_and_contact_stay(
    client: Client, db: Database, make_user: Any, mary: Any, name: str
) -> None:
    profile = await db.get(f"org.couchdb.user:{name}")
    clerk = await make_user("clerk", roles=["data_entry"])
    cookie = await session_cookie(client, name)
    assert (await client.get("/api/v1/settings", headers=cookie)).status == 200

    refused = await client.delete(f"/api/v1/users/{name}", headers=clerk)
    answer = await client.delete(f"/api/v1/users/{name}")

    assert refused.status == 403
    assert answer.status == 200
    assert [row["id"] for row in await answer.json()] == [profile["_id"]] * 2
    after = await db.get(profile["_id"])
    assert after["inactive"] is True  # EP-USR-58
    assert isinstance(after["deletion_date"], int)
    assert set(await db.get_many([profile["facility_id"], profile["contact_id"]])) == {
        profile["facility_id"],
        profile["contact_id"],
    }

    async def logged_out() -> bool:
        answers = [await client.get("/api/v1/settings", headers=login) for login in (mary, cookie)]
        return [each.status for each in answers] == [401, 401]

    assert await eventually(logged_out)


async def session_cookie(client: Client, name: str) -> dict[str, str]:
    """A login by cookie alone: the empty header keeps the administrator's own away."""
    answer = await client.post("/_session", json={"name": name, "password": "secret"}, headers={"Authorization": ""})
    assert answer.status == 200
    client.session.cookie_jar.clear()
    return {"Cookie": f"AuthSession={answer.cookies['AuthSession'].value}", "Authorization": ""}
