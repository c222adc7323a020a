"""The settings resource (30 §1)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiohttp.test_utils import TestClient

from core.couch.client import Database
from core.settings import DEFAULT_PERMISSIONS
from tests.conftest import eventually

Client = TestClient[Any, Any]
STORED: dict[str, Any] = {"locale": "en", "sms": {"a": 1, "list": [1, 2]}}
BODY: dict[str, Any] = {"sms": {"b": 2, "list": [3]}}


async def test_get_gives_any_account_the_settings(client: Client, make_user: Any) -> None:
    asha = await make_user("asha", roles=["chw"])
    answer = await client.get("/api/v1/settings", headers=asha)

    assert answer.status == 200  # EP-SET-1
    assert answer.headers["Content-Type"] == "application/json; charset=utf-8"
    assert (await answer.json())["locale"] == "en"


async def test_what_another_process_wrote_is_read_within_moments(client: Client, db: Database) -> None:
    before = await client.get("/api/v1/settings")
    doc = await db.get("settings")
    rev = await db.put({**doc, "settings": {**doc["settings"], "locale": "sw", "text": "x" * 2_000}})

    async def is_there() -> bool:
        return (await client.get("/api/v1/settings")).headers["ETag"] == f'"{rev}"'

    await eventually(is_there)  # PERM-10
    after = await client.get("/api/v1/settings")
    plain = await client.get("/api/v1/settings", headers={"Accept-Encoding": "identity"})

    assert (await before.json())["locale"] == "en"  # MOD-8
    assert (await after.json())["locale"] == (await plain.json())["locale"] == "sw"
    assert after.headers["Content-Encoding"] == "gzip"
    assert "Content-Encoding" not in plain.headers


async def test_unchanged_settings_are_not_sent_again(client: Client) -> None:
    first = await client.get("/api/v1/settings")
    again = await client.get("/api/v1/settings", headers={"If-None-Match": first.headers["ETag"]})
    await client.put("/api/v1/settings", json={"locale": "sw"})
    changed = await client.get("/api/v1/settings", headers={"If-None-Match": first.headers["ETag"]})

    assert (again.status, await again.read()) == (304, b"")
    assert (changed.status, (await changed.json())["locale"]) == (200, "sw")


async def test_get_without_a_settings_document_is_an_empty_object(client: Client, db: Database) -> None:
    doc = await db.get("settings")
    await db.delete("settings", doc["_rev"])

    async def is_gone() -> bool:
        return bool(await (await client.get("/api/v1/settings")).json() == {})

    await eventually(is_gone)  # EP-SET-1


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", {"locale": "en", "sms": {"a": 1, "b": 2, "list": [3]}}),
        ("?replace=false&overwrite=0", {"locale": "en", "sms": {"a": 1, "b": 2, "list": [3]}}),
        ("?replace=true", {"locale": "en", "sms": {"b": 2, "list": [3]}}),
        ("?replace", {"locale": "en", "sms": {"b": 2, "list": [3]}}),
        ("?overwrite=true", {"sms": {"b": 2, "list": [3]}}),
        ("?overwrite=1&replace=true", {"sms": {"b": 2, "list": [3]}}),
    ],
)
async def test_put_merges_replaces_or_overwrites(
    client: Client, db: Database, query: str, expected: dict[str, Any]
) -> None:
    await client.put("/api/v1/settings?overwrite=true", json=STORED)
    answer = await client.put(f"/api/v1/settings{query}", json=BODY)

    assert (answer.status, await answer.json()) == (200, {"success": True, "upgraded": True, "updated": True})
    stored = (await db.get("settings"))["settings"]
    permissions = stored.pop("permissions")
    assert stored == expected  # EP-SET-3..6, DIV-2, DIV-21
    assert permissions == {name: list(roles) for name, roles in DEFAULT_PERMISSIONS.items()}  # EP-SET-9


async def test_putting_the_same_again_changes_nothing(client: Client, db: Database) -> None:
    await client.put("/api/v1/settings", json=BODY)
    rev = (await db.get("settings"))["_rev"]
    answer = await client.put("/api/v1/settings", json=BODY)

    assert await answer.json() == {"success": True, "upgraded": False, "updated": False}  # EP-SET-7, EP-SET-8
    assert (await db.get("settings"))["_rev"] == rev


async def test_put_creates_a_missing_document_and_keeps_other_members(client: Client, db: Database) -> None:
    doc = await db.get("settings")
    await db.put({**doc, "note": "kept"})
    await client.put("/api/v1/settings", json=BODY)
    kept = await db.get("settings")
    await db.delete("settings", kept["_rev"])
    await client.put("/api/v1/settings", json=BODY)

    assert kept["note"] == "kept"  # EP-SET-11
    assert (await db.get("settings"))["settings"]["sms"] == BODY["sms"]


async def test_a_permission_set_to_nobody_stays_so(client: Client, db: Database) -> None:
    await client.put("/api/v1/settings", json={"permissions": {"can_edit": []}})

    assert (await db.get("settings"))["settings"]["permissions"]["can_edit"] == []  # PERM-11


@pytest.mark.parametrize("body", ["[]", "3", "null", '"text"', ""])
async def test_a_body_that_is_no_object_is_400(client: Client, db: Database, body: str) -> None:
    rev = (await db.get("settings"))["_rev"]
    answer = await client.put("/api/v1/settings", data=body, headers={"Content-Type": "application/json"})

    assert (answer.status, await answer.text()) == (400, "Settings must be an object")  # EP-SET-10
    assert (await db.get("settings"))["_rev"] == rev


@pytest.mark.parametrize(
    ("query", "content_type", "body", "reason"),
    [
        ("", "text/plain", "{}", "Content-Type must be application/json"),  # AUTH-14
        ("", "application/json", "{", "The request body is not valid JSON"),
        ("?replace=maybe", "application/json", "{}", "Query parameter `replace` must be true or false, not 'maybe'"),
    ],
)
async def test_a_request_that_cannot_be_read_says_why(
    client: Client, query: str, content_type: str, body: str, reason: str
) -> None:
    answer = await client.put(f"/api/v1/settings{query}", data=body, headers={"Content-Type": content_type})

    assert answer.status == 400
    assert (await answer.text()).startswith(reason)


async def test_a_media_type_may_have_parameters(client: Client) -> None:
    headers = {"Content-Type": "application/json; charset=utf-8"}

    assert (await client.put("/api/v1/settings", data="{}", headers=headers)).status == 200  # AUTH-14


async def test_put_needs_can_configure(client: Client, make_user: Any, db: Database) -> None:
    data_entry = await make_user("data-entry", roles=["data_entry"])
    officer = await make_user("officer", roles=["program_officer"])
    refused = await client.put("/api/v1/settings", json=BODY, headers=data_entry)
    allowed = await client.put("/api/v1/settings", json=BODY, headers=officer)

    assert (refused.status, await refused.text()) == (403, "Insufficient permissions")  # EP-SET-2
    assert allowed.status == 200


async def test_merges_at_the_same_time_are_all_kept(client: Client, db: Database) -> None:
    answers = await asyncio.gather(*(client.put("/api/v1/settings", json={f"key{n}": n}) for n in range(4)))

    assert [answer.status for answer in answers] == [200] * 4  # EP-SET-10
    stored = (await db.get("settings"))["settings"]
    assert [stored[f"key{n}"] for n in range(4)] == [0, 1, 2, 3]


async def test_changed_permissions_hold_within_a_second(client: Client, make_user: Any, db: Database) -> None:
    data_entry = await make_user("data-entry", roles=["data_entry"])
    path = "/medic/some-doc"
    assert (await client.put(path, json={}, headers=data_entry)).status == 403
    doc = await db.get("settings")
    doc["settings"]["permissions"]["can_edit"] = ["data_entry"]
    await db.put(doc)

    async def allowed() -> bool:
        return (await client.put(path, json={}, headers=data_entry)).status in (201, 409)

    assert await eventually(allowed, within_s=30)  # PERM-10


async def test_a_wrong_method_goes_on_to_couchdb(client: Client) -> None:
    assert (await client.delete("/api/v1/settings")).status in (404, 405)  # EP-11
