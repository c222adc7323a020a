"""/api/sms over HTTP: what a gateway sees. The rules of the exchange itself are tested with core.sms."""

from __future__ import annotations

import asyncio
import base64
import gzip
from typing import Any

import orjson
import pytest
from aiohttp.test_utils import TestClient

from core.couch.client import Database, Doc
from tests.conftest import eventually

Client = TestClient[Any, Any]
JSON = {"Accept": "application/json"}


async def records(db: Database) -> list[Doc]:
    rows = await db.all_docs(include_docs=True)
    return [row["doc"] for row in rows if row["doc"].get("type") == "data_record"]


def message(number: int) -> Doc:
    return {"id": f"g-{number}", "from": "0711000111", "content": f"hello {number}", "sms_sent": 1, "sms_received": 2}


async def test_gateway_finds_its_protocol_with_and_without_a_slash(client: Client) -> None:
    for path in ("/api/sms", "/api/sms/"):
        answer = await client.get(path)

        assert (answer.status, await answer.json()) == (200, {"medic-gateway": True})  # EP-SMS-1, SMS-2


async def test_nothing_in_nothing_out(client: Client) -> None:
    for body in ({}, {"messages": None, "updates": None}, {"messages": [], "other": 1}):
        answer = await client.post("/api/sms/", json=body)

        assert (answer.status, await answer.json()) == (200, {"messages": []})  # EP-SMS-2, EP-5


async def test_exchange_stores_messages_applies_updates_and_offers_what_is_pending(
    client: Client, db: Database
) -> None:
    assert (await client.put("/api/v1/settings", json={"default_country_code": 254})).status == 200
    tasks = [
        {"messages": [{"uuid": f"m-{n}", "to": "0711000222", "message": "Asante"}], "state": state}
        for n, state in ((1, "pending"), (5, "forwarded-by-gateway"), (6, "forwarded-by-gateway"))
    ]
    await db.put({"_id": "r-1", "type": "data_record", "reported_date": 1, "tasks": tasks})
    updates = [{"id": "m-5", "status": "DELIVERED"}, {"id": "m-6", "status": "FAILED", "reason": "no credit"}]

    answer = await client.post("/api/sms", json={"messages": [message(1)], "updates": updates})

    assert await answer.json() == {"messages": [{"id": "m-1", "to": "+254711000222", "content": "Asante"}]}
    first, fifth, sixth = (await db.get("r-1"))["tasks"]
    assert first["state"] == "forwarded-to-gateway"  # EP-SMS-3
    assert fifth["state"] == "delivered"
    assert (sixth["state"], sixth["state_details"]) == ("failed", {"reason": "no credit"})
    [incoming] = [doc for doc in await records(db) if doc["_id"] != "r-1"]
    assert (incoming["from"], incoming["sms_message"]["gateway_ref"]) == ("+254711000111", "g-1")


async def test_answer_to_a_message_is_offered_in_the_same_exchange(client: Client, db: Database) -> None:
    fields = {
        "name": {"type": "string", "required": True, "labels": {"tiny": "N"}},
        "lmp": {"type": "integer", "required": True, "labels": {"tiny": "LMP"}},
    }
    settings = {
        "default_country_code": "254",
        "forms": {"REG": {"meta": {"code": "REG"}, "fields": fields}},
        "transitions": {"update_clinics": True},
    }
    assert (await client.put("/api/v1/settings", json=settings)).status == 200
    body = {"messages": [{"id": "g-1", "from": "0712345678", "content": "REG Anna 12"}]}

    first = await (await client.post("/api/sms", json=body)).json()
    [stored] = await records(db)
    again = await (await client.post("/api/sms", json=body)).json()

    assert (stored["form"], stored["fields"]) == ("REG", {"name": "Anna", "lmp": 12})  # 45 section 12
    assert [error["code"] for error in stored["errors"]] == ["sys.facility_not_found"]
    [offered] = first["messages"]
    assert offered["to"] == "+254712345678"
    assert offered["id"] == stored["tasks"][0]["messages"][0]["uuid"]
    assert stored["tasks"][0]["state"] == "forwarded-to-gateway"
    assert again == first
    assert await records(db) == [stored]


async def test_repeating_an_exchange_creates_nothing_new(client: Client, db: Database) -> None:
    body = {"messages": [message(1), message(2), message(1)]}

    first, _ = await asyncio.gather(client.post("/api/sms", json=body), client.post("/api/sms", json=body))
    stored = await records(db)
    again = await client.post("/api/sms", json=body)

    assert (first.status, again.status) == (200, 200)
    assert len(stored) == 2  # EP-SMS-4, SMS-18
    assert await records(db) == stored


async def test_compressed_body_is_taken(client: Client, db: Database) -> None:
    data = gzip.compress(orjson.dumps({"messages": [message(1)]}))
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}

    answer = await client.post("/api/sms", data=data, headers=headers)

    assert answer.status == 200  # SMS-3
    assert len(await records(db)) == 1


async def test_body_that_is_not_as_it_says_is_400(client: Client) -> None:
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip", **JSON}

    answer = await client.post("/api/sms", data=b"no gzip", headers=headers)

    assert answer.status == 400  # SMS-5
    assert "Content-Encoding" in (await answer.json())["message"]


@pytest.mark.parametrize("half", [rb"\ud83d", b"\xed\xa0\xbd", b"\xe9"], ids=["escaped", "surrogate", "ISO-8859-1"])
async def test_half_a_character_holds_up_no_message(client: Client, db: Database, half: bytes) -> None:
    body = orjson.dumps({"messages": [message(1), message(2)]}).replace(b"hello 1", b"hello 1 \xf0\x9f\x98\x80 " + half)

    answer = await client.post("/api/sms", data=body, headers={"Content-Type": "application/json"})

    assert answer.status == 200  # SMS-21
    texts = sorted(doc["sms_message"]["message"].rstrip("?\ufffd") for doc in await records(db))
    assert texts == ["hello 1 \U0001f600 ", "hello 2"]


async def test_errors_carry_the_message_the_app_shows(client: Client) -> None:
    not_an_object = "The body must be an object with the lists messages and updates"
    refusals = [
        (b"{}", "text/plain", "Content-Type must be application/json"),
        (b"[]", "application/json", not_an_object),
        (b"", "application/json", not_an_object),
        (b'{"messages":{}}', "application/json", "messages: expected a list"),
        (b'{"updates":"x"}', "application/json", "updates: expected a list"),
    ]

    for data, content_type, text in refusals:
        answer = await client.post("/api/sms", data=data, headers={"Content-Type": content_type, **JSON})

        assert (answer.status, await answer.json()) == (400, {"code": 400, "error": text, "message": text})  # EP-SMS-9


async def test_malformed_entries_do_not_harm_the_others(client: Client, db: Database) -> None:
    entries = [None, 5, "x", {}, {"id": "g-9"}, {**message(3), "content": ["x"]}, message(1)]

    answer = await client.post("/api/sms", json={"messages": entries, "updates": [None, 5, {"id": {}}, {"id": "?"}]})

    assert answer.status == 200
    assert [doc["sms_message"]["gateway_ref"] for doc in await records(db)] == ["g-1"]  # SMS-17, SMS-21


async def test_gateway_needs_its_permission(client: Client, make_user: Any) -> None:
    clerk = await make_user("clerk", roles=["data_entry"])
    gateway = await make_user("gateway", roles=["gateway"])
    nobody = {"Authorization": ""}

    refused = await client.post("/api/sms", json={}, headers={**clerk, **JSON})
    unknown = await client.post("/api/sms", json={}, headers={**nobody, **JSON})
    prompted = await client.get("/api/sms", headers={**nobody, "User-Agent": "Dalvik/2 (medic.gateway)"})

    assert (await client.post("/api/sms", json={}, headers=gateway)).status == 200
    assert (refused.status, (await refused.json())["message"]) == (403, "Insufficient privileges")
    assert unknown.status == 401
    assert prompted.headers["WWW-Authenticate"].startswith("Basic ")  # SMS-1


async def test_login_may_be_in_iso_8859_1(client: Client, make_user: Any) -> None:  # GWY-1
    name = (await make_user("gateway", password="Clé-été-ÿ", roles=["gateway"])).name
    statuses = []
    for encoding in ("utf-8", "iso-8859-1"):
        login = base64.b64encode(f"{name}:Clé-été-ÿ".encode(encoding)).decode()
        answer = await client.get("/api/sms", headers={"Authorization": f"Basic {login}", **JSON})
        statuses.append(answer.status)

    assert statuses == [200, 200]


async def test_documents_whose_messages_were_reported_on_count_as_written(
    client: Client, db: Database, sentinel_db: Database
) -> None:
    task = {"messages": [{"uuid": "m-7", "to": "+254711000222", "message": "Hi"}], "state": "forwarded-by-gateway"}
    await db.put({"_id": "r-7", "type": "data_record", "reported_date": 1, "tasks": [task]})

    await client.post("/api/sms", json={"updates": [{"id": "m-7", "status": "DELIVERED"}]})

    infodoc = await eventually(lambda: sentinel_db.find("r-7-info"))
    assert infodoc["latest_replication_date"]  # EP-7, PROXY-15
