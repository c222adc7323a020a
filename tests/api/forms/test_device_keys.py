"""Shared devices that fetch and submit forms by an address of their own (OR-42)."""

from __future__ import annotations

from typing import Any

import pytest
from aiohttp.test_utils import TestClient

from core.couch.client import Database
from tests.api.forms.submitting import E1, INSTANCE_ID, body_of

Client = TestClient[Any, Any]
NOBODY = {"Authorization": ""}


async def made(client: Client, username: str) -> tuple[dict[str, Any], str]:
    """A key as it is told once, and the path of its address."""
    answer = await client.post("/api/v1/openrosa-keys", json={"username": username, "label": "Tablet 4"})
    assert answer.status == 201, await answer.text()
    key = await answer.json()
    return key, key["url"].removeprefix(f"http://127.0.0.1:{client.port}")


async def test_a_device_is_the_account_its_address_stands_for(
    client: Client, asha: Any, db: Database, caplog: pytest.LogCaptureFixture
) -> None:
    key, path = await made(client, asha.name)
    with caplog.at_level("INFO"):
        forms = await (await client.get(f"{path}/formList", headers=NOBODY)).text()
        ahead = await client.head(f"{path}/submission", headers=NOBODY)
        stored = await client.post(f"{path}/submission", data=body_of(E1), headers=NOBODY)
    xform = await client.get(f"{path}/forms/bednet_visit.xml", headers=NOBODY)

    assert f"{key['url']}/forms/bednet_visit.xml" in forms
    assert (ahead.status, ahead.headers["Location"]) == (204, f"{key['url']}/submission")
    assert (xform.status, stored.status) == (200, 201)
    assert (await db.get(INSTANCE_ID))["contact"]["_id"] == "p-asha"
    assert key["key"] not in caplog.text


async def test_a_key_opens_nothing_else_and_ends_when_it_is_revoked(client: Client, asha: Any) -> None:
    key, path = await made(client, asha.name)
    elsewhere = await client.get(f"{path}/api/v1/settings", headers={**NOBODY, "Accept": "application/json"})
    listed = await (await client.get("/api/v1/openrosa-keys")).json()
    revoked = await client.delete(f"/api/v1/openrosa-keys/{key['id']}")
    after = await client.get(f"{path}/formList", headers=NOBODY)
    twice = await client.delete(f"/api/v1/openrosa-keys/{key['id']}")

    shown = {name: key[name] for name in ("id", "username", "label", "created")}
    assert [each for each in listed if each["username"] == asha.name] == [shown]
    assert (elsewhere.status, revoked.status, after.status, twice.status) == (401, 200, 401, 404)


async def test_keys_are_made_by_who_manages_accounts_for_accounts(client: Client, asha: Any) -> None:
    body = {"username": asha.name}
    refused = await client.post("/api/v1/openrosa-keys", json=body, headers=asha)
    unknown = await client.post("/api/v1/openrosa-keys", json={"username": "nobody-here"})
    nameless = await client.post("/api/v1/openrosa-keys", json={"label": "x"})
    guessed = await client.get(f"/openrosa/key/{'0' * 64}/formList", headers=asha)

    assert (refused.status, unknown.status, nameless.status, guessed.status) == (403, 404, 400, 401)
    assert "username: must be" in await nameless.text()
