"""The configuring command line uploads settings: T1 of 65 §11, and its backup (CONF-11, 12, 38, 50..54, EP-SET-13)."""

from __future__ import annotations

from typing import Any

import pytest
from aiohttp.test_utils import TestClient

from core.couch.client import Database

Client = TestClient[Any, Any]


@pytest.fixture(params=["medic", "its own name"])
def database(request: pytest.FixtureRequest, db: Database) -> str:
    """The main database as a client calls it (CONF-1)."""
    return "medic" if request.param == "medic" else db.name


async def test_settings_are_uploaded(client: Client, db: Database, database: str) -> None:
    path = f"/{database}/_design/medic/_rewrite/update_settings/medic?replace=1"
    settings = {"locale": "sw", "transitions": {"default_responses": True, "update_clinics": True}}

    info = await client.get(f"/{database}/")
    deploy_info = await client.get("/api/deploy-info")
    no_transitions = await client.get("/api/v1/settings/deprecated-transitions")
    first = await client.put(path, json=settings)
    rev = (await db.get("settings"))["_rev"]
    again = await client.put(path, json=settings)

    assert (info.status, (await info.json())["db_name"]) == (200, db.name)
    assert (deploy_info.status, "version" in await deploy_info.json()) == (200, True)  # CONF-7
    assert (no_transitions.status, await no_transitions.json()) == (200, [])  # CONF-12
    assert (first.status, await first.json()) == (200, {"success": True, "updated": True, "upgraded": True})
    assert (again.status, await again.json()) == (200, {"success": True, "updated": False, "upgraded": False})
    stored = await db.get("settings")
    assert (stored["_rev"], stored["settings"]["locale"]) == (rev, "sw")  # CONF-53
    assert "roles" in stored["settings"]  # CONF-54


async def test_deprecated_transitions_are_told(client: Client) -> None:
    settings = {"transitions": {"generate_patient_id_on_people": True, "update_notifications": False}}
    assert (await client.put("/api/v1/settings", json=settings)).status == 200

    answer = await client.get("/api/v1/settings/deprecated-transitions")

    assert await answer.json() == [
        {
            "name": "generate_patient_id_on_people",
            "deprecated": True,
            "deprecatedIn": "3.8.x",
            "deprecationMessage": "Use the transition generate_shortcode_on_contacts instead of "
            "generate_patient_id_on_people.",
        }
    ]  # EP-SET-12, TRN-19


@pytest.mark.parametrize(
    ("path", "expected"),
    [("", None), ("/sms", {"a": {"b": 1}}), ("/sms.a", {"b": 1}), ("/sms.x", {}), ("/sms.a.b.c", {}), ("/none", {})],
)
async def test_settings_are_backed_up(client: Client, db: Database, database: str, path: str, expected: Any) -> None:
    doc = await db.get("settings")
    await db.put({**doc, "settings": {"sms": {"a": {"b": 1}}}})

    answer = await client.get(f"/{database}/_design/medic/_rewrite/app_settings/medic{path}")

    assert answer.status == 200  # CONF-11, CONF-51, AUTH-134
    whole = {"sms": {"a": {"b": 1}}}
    assert await answer.json() == {"settings": whole if expected is None else expected, "meta": {}, "schema": {}}


async def test_an_upload_that_cannot_work_says_so(client: Client, database: str) -> None:
    path = f"/{database}/_design/medic/_rewrite/update_settings/medic?replace=1"

    answer = await client.put(path, json={"transitions": {"make_coffee": True}})

    told = await answer.json()
    assert (answer.status, told["success"], "make_coffee" in told["error"]) == (400, False, True)  # CONF-12, CONF-55


async def test_uploads_need_can_configure_and_json(client: Client, make_user: Any, database: str) -> None:
    path = f"/{database}/_design/medic/_rewrite/update_settings/medic"
    clerk = await make_user("clerk", roles=["data_entry"])
    phone = await make_user("phone", roles=["chw"])

    refused = [(await client.put(path, json={}, headers=login)).status for login in (clerk, phone)]
    backup = await client.get(f"/{database}/_design/medic/_rewrite/app_settings/medic", headers=clerk)
    as_text = await client.put(path, data="{}", headers={"Content-Type": "text/plain"})

    assert refused == [403, 403]  # CONF-52
    assert (backup.status, as_text.status) == (200, 400)
