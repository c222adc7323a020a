"""What holds for documents of every kind, whoever writes them (35 §1, §2, §5, §8, §15)."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from aiohttp.test_utils import TestClient

from core.config import Config
from core.couch.client import Couch, Database
from tests.api.family import FAMILY, IN_KANGA, IN_ODERA, KANGA, NEEMA, ODERA

Client = TestClient[Any, Any]


@pytest.fixture
async def family(client: Client, db: Database) -> Client:
    await db.bulk_docs(FAMILY)
    return client


async def test_a_deleted_document_keeps_its_body_and_its_id_can_be_written_again(family: Client, db: Database) -> None:
    stored = await db.get("r-visit")
    deleted = await family.put(f"/{db.name}/r-visit", json={**stored, "_deleted": True})
    rev = (await deleted.json())["rev"]
    missing = await family.get(f"/{db.name}/r-visit")
    body = await (await family.get(f"/{db.name}/r-visit", params={"rev": rev})).json()
    again = await family.put(f"/{db.name}/r-visit", json={"type": "data_record"})

    assert (deleted.status, missing.status, again.status) == (200, 404, 201)  # MOD-3
    assert body == {**stored, "_rev": rev, "_deleted": True}
    assert (await again.json())["rev"].startswith("3-")


async def test_an_attachment_may_have_a_slash_in_its_name(family: Client, db: Database) -> None:
    rev = (await db.get("r-visit"))["_rev"]
    path = f"/{db.name}/r-visit/user-file/photo"
    written = await family.put(f"{path}?rev={rev}", data=b"picture", headers={"Content-Type": "image/png"})
    read = await family.get(path)
    stub = (await db.get("r-visit"))["_attachments"]["user-file/photo"]
    inlined = (await db.get("r-visit", attachments=True))["_attachments"]["user-file/photo"]

    assert written.status == 201
    assert (read.content_type, await read.read()) == ("image/png", b"picture")
    assert stub.pop("digest").startswith("md5-")  # MOD-4
    assert stub == {"content_type": "image/png", "length": 7, "revpos": 2, "stub": True}
    assert base64.b64decode(inlined["data"]) == b"picture"


async def test_the_longest_live_branch_wins_and_the_others_are_kept(family: Client, db: Database) -> None:
    """Two edits of the first revision elsewhere, and a longer branch that was deleted."""
    first, low, high = (str(each) * 32 for each in (1, 2, 3))
    history = {"type": "data_record", "_id": "torn"}
    branches = [
        {**history, "_revisions": {"start": 2, "ids": [low, first]}, "n": "low"},
        {**history, "_revisions": {"start": 2, "ids": [high, first]}, "n": "high"},
        {**history, "_revisions": {"start": 3, "ids": ["4" * 32, "5" * 32, first]}, "_deleted": True},
    ]
    docs = [{**each, "_rev": f"{each['_revisions']['start']}-{each['_revisions']['ids'][0]}"} for each in branches]  # type: ignore[index]
    assert (await family.post(f"/{db.name}/_bulk_docs", json={"docs": docs, "new_edits": False})).status == 201

    read = await (await family.get(f"/{db.name}/torn", params={"conflicts": "true"})).json()

    assert (read["n"], read["_conflicts"]) == ("high", [f"2-{low}"])  # MOD-6


async def test_moving_or_deleting_a_place_leaves_what_is_below_as_it_is(family: Client, db: Database) -> None:
    await db.put({"_id": "d-new", "type": "district_hospital", "name": "New"})
    moved = await family.post("/api/v1/places/hc-kanga", json={"parent": "d-new"})
    odera, neema = await db.get("c-odera"), await db.get("p-neema")
    deleted = await family.post("/api/v1/bulk-delete", json={"docs": [{"_id": "c-odera"}]})

    assert (moved.status, deleted.status) == (200, 200)
    assert (await db.get("hc-kanga"))["parent"] == {"_id": "d-new"}
    assert (odera["parent"], neema["parent"]) == (ODERA["parent"], NEEMA["parent"])  # MOD-22
    assert (await db.get("p-neema"))["parent"] == IN_ODERA  # MOD-23


async def test_what_the_api_writes_names_others_by_their_ids_alone(family: Client, db: Database) -> None:
    kanga = {**KANGA, "parent": {"_id": "d-busia", "name": "Busia"}}
    person = await family.post("/api/v1/people", json={"name": "Ali", "parent": kanga})
    place = await family.post("/api/v1/places", json={"name": "C", "type": "clinic", "parent": "hc-kanga"})

    assert (await db.get((await person.json())["id"]))["parent"] == IN_KANGA  # MOD-41, EP-PPL-8
    assert (await db.get((await place.json())["id"]))["parent"] == IN_KANGA


async def test_a_person_is_found_the_moment_it_is_written(family: Client, db: Database) -> None:
    # MOD-121
    parent = {"_id": "c-odera", "parent": IN_KANGA}
    person = {"type": "person", "name": "Zuri", "phone": "+254733000333", "patient_id": "77777", "parent": parent}
    record = {"type": "data_record", "form": "V", "fields": {"patient_id": "77777"}}
    assert (await family.post(f"/{db.name}", json={"_id": "p-zuri", **person})).status == 201
    assert (await family.post(f"/{db.name}", json={"_id": "r-zuri", **record})).status == 201

    view = f"/{db.name}/_design/medic-client/_view/contacts_by_phone"
    by_view = await (await family.get(view, params={"key": '"+254733000333"'})).json()
    by_phone = await (await family.get("/api/v1/contacts-by-phone", params={"phone": "+254733000333"})).json()
    [hydrated] = await (await family.post("/api/v1/hydrate", json={"doc_ids": ["r-zuri"]})).json()

    assert [row["id"] for row in by_view["rows"]] == ["p-zuri"]
    assert [doc["_id"] for doc in by_phone["docs"]] == ["p-zuri"]
    assert hydrated["doc"]["patient"]["_id"] == "p-zuri"


async def test_only_the_main_database_has_members(couch: Couch, config: Config, db: Database) -> None:
    # MOD-105
    main = await db.request("GET", "/_security")
    others = [
        await couch.db(config.db_name(name)).request("GET", "/_security") for name in ("sentinel", "logs", "vault")
    ]

    assert main.get("members", {}).get("names", []) == []  # every account
    assert main.get("members", {}).get("roles", []) != ["_admin"]
    assert main["admins"]["roles"] == ["_admin"]
    assert [each["members"]["roles"] for each in others] == [["_admin"]] * 3


async def test_an_apps_report_is_stored_and_read_as_it_is(family: Client, db: Database) -> None:
    report = {
        "_id": "r-app1",
        "type": "data_record",
        "form": "delivery",
        "content_type": "xml",
        "reported_date": 1709300000000,
        "contact": {"_id": "p-asha", "parent": IN_KANGA},
        "form_version": {"time": 1719500000000, "sha256": "ab12"},
        "hidden_fields": ["meta"],
        "fields": {
            "patient_uuid": "p-neema",
            "patient_name": "Neema W.",
            "needs_signoff": True,
            "inputs": {"source": "contact"},
            "babies": [{"sex": "male", "weight": "2.9"}],
        },
        "geolocation_log": [{"timestamp": 1709300000000, "recording": {"latitude": 0.1, "accuracy": 12}}],
        "verified": True,
    }
    assert (await family.put(f"/{db.name}/r-app1", json=report)).status == 201

    stored = await (await family.get(f"/{db.name}/r-app1")).json()
    [hydrated] = await (await family.post("/api/v1/hydrate", json={"doc_ids": ["r-app1"]})).json()

    assert stored == {**report, "_rev": stored["_rev"]}  # MOD-26
    assert hydrated["doc"]["patient"]["name"] == "Neema W."  # MOD-27
    assert {name: hydrated["doc"][name] for name in report if name != "contact"} == {
        name: value for name, value in report.items() if name != "contact"
    }


async def test_only_accounts_are_listed_as_users(client: Client, couch: Couch) -> None:
    rows = await couch.db("_users").all_docs()
    listed = [user["id"] for user in await (await client.get("/api/v1/users")).json()]

    assert any(row["id"].startswith("_design/") for row in rows)
    assert all(each.startswith("org.couchdb.user:") for each in listed)  # MOD-67
