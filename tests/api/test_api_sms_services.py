"""What hosted SMS services bring over HTTP, with nothing but their secret (EP-SMS-20..22)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiohttp.test_utils import TestClient

from core.couch.client import Database, Doc

Client = TestClient[Any, Any]
NOBODY = {"Authorization": "", "Accept": "application/json"}
MESSAGES = "/api/v1/sms/africastalking/incoming-messages"
REPORTS = "/api/v1/sms/africastalking/delivery-reports"
RAPIDPRO = "/api/v2/sms/rapidpro/incoming-messages"
MISSPELT = "/api/v1/sms/radpidpro/incoming-messages"
KEY = {"key": "k-1"}
TOKEN = {"Authorization": "Token t-1", "Accept": "application/json"}
SMS = {"id": "AT-1", "from": "0711000111", "text": "hello"}
JSON_SMS = {"id": "RP-1", "from": "0711000111", "content": "hello"}


@pytest.fixture
async def secrets(client: Client) -> None:
    for name, secret in (("africastalking.com:incoming", "k-1"), ("rapidpro:incoming", "t-1")):
        assert (await client.put(f"/api/v1/credentials/{name}", data=secret)).status == 200


async def records(db: Database) -> list[Doc]:
    rows = await db.all_docs(include_docs=True)
    return [row["doc"] for row in rows if row["doc"].get("type") == "data_record"]


@pytest.mark.usefixtures("secrets")
async def test_africas_talking_brings_a_message_once(client: Client, db: Database) -> None:  # AGG-3, EP-SMS-20
    assert (await client.put("/api/v1/settings", json={"default_country_code": 254})).status == 200
    answers = [await client.post(MESSAGES, params=KEY, data=SMS, headers=NOBODY) for _ in range(2)]

    assert [(each.status, await each.json()) for each in answers] == [(200, {"saved": 1}), (200, {"saved": 0})]
    [record] = await records(db)
    assert (record["from"], record["sms_message"]["message"]) == ("+254711000111", "hello")
    assert record["sms_message"]["gateway_ref"] == "AT-1"


@pytest.mark.usefixtures("secrets")
async def test_message_that_lacks_something_is_not_stored(client: Client, db: Database) -> None:  # SMS-17
    answer = await client.post(MESSAGES, params=KEY, data={"id": "AT-1", "from": "0711"}, headers=NOBODY)

    assert (answer.status, await answer.json()) == (200, {"saved": 0})
    assert await records(db) == []


@pytest.mark.parametrize("path", [MESSAGES, REPORTS])
async def test_wrong_or_unset_key_is_403(client: Client, db: Database, path: str) -> None:  # AGG-3, EP-SMS-21
    unset = await client.post(path, params=KEY, data=SMS, headers=NOBODY)
    await client.put("/api/v1/credentials/africastalking.com:incoming", data="k-1")
    wrong = await client.post(path, params={"key": "k-2"}, data=SMS, headers=NOBODY)
    missing = await client.post(path, data=SMS, headers=NOBODY)

    assert (unset.status, await unset.json()) == (403, {"code": 403, "error": "No incoming key configured"})
    assert (wrong.status, await wrong.json()) == (403, {"code": 403, "error": "Incorrect token"})
    assert missing.status == 403
    assert await records(db) == []


def sent(ref: str) -> Doc:
    message = {"uuid": f"m-{ref}", "to": "+254711000222", "message": "Asante"}
    return {"messages": [message], "state": "forwarded-by-gateway", "gateway_ref": ref}


@pytest.mark.usefixtures("secrets")
@pytest.mark.parametrize(
    ("status", "state"),
    [
        *(("Sent", "forwarded-by-gateway"), ("Submitted", "sent"), ("Buffered", "sent"), ("Success", "delivered")),
        *(("Rejected", "failed"), ("Failed", "failed")),
    ],
)
async def test_delivery_reports_of_africas_talking(client: Client, db: Database, status: str, state: str) -> None:
    await db.put({"_id": "r-1", "type": "data_record", "reported_date": 1, "tasks": [sent("AT-8"), sent("AT-9")]})
    form = {"id": "AT-9", "status": status, "failureReason": "UserNotFound"}

    answer = await client.post(REPORTS, params=KEY, data=form, headers=NOBODY)
    again = await client.post(REPORTS, params=KEY, data=form, headers=NOBODY)

    assert (answer.status, await answer.json()) == (200, {"saved": 1})  # AGG-3, SMS-16
    assert (again.status, await again.json()) == (200, {"saved": 0})  # SMS-14
    other, task = (await db.get("r-1"))["tasks"]
    assert (task["state"], task["state_details"], task["gateway_ref"]) == (state, {"reason": "UserNotFound"}, "AT-9")
    assert other == sent("AT-8")


@pytest.mark.usefixtures("secrets")
async def test_delivery_report_that_says_nothing_known(client: Client) -> None:  # EP-SMS-21
    unknown = await client.post(REPORTS, params=KEY, data={"id": "AT-1", "status": "Lost"}, headers=NOBODY)
    nobody = await client.post(REPORTS, params=KEY, data={"id": "AT-1", "status": "Success"}, headers=NOBODY)
    other_type = await client.post(REPORTS, params=KEY, json={"id": "AT-1"}, headers=NOBODY)

    expected = 'Unknown status code: "Lost", gateway message reference: "AT-1"'
    assert (unknown.status, (await unknown.json())["error"]) == (400, expected)
    assert (nobody.status, await nobody.json()) == (200, {"saved": 0})
    assert (other_type.status, (await other_type.json())["error"]) == (
        400,
        "Content-Type must be application/x-www-form-urlencoded",
    )


@pytest.mark.usefixtures("secrets")
@pytest.mark.parametrize("path", [RAPIDPRO, MISSPELT])
async def test_rapidpro_brings_a_message_once(client: Client, db: Database, path: str) -> None:  # AGG-6, EP-SMS-22
    both = await asyncio.gather(*(client.post(path, json=JSON_SMS, headers=TOKEN) for _ in range(2)))

    assert sorted([(each.status, str(await each.json())) for each in both]) == [
        (200, "{'saved': 1}"),
        (400, "{'code': 400, 'error': 'Message was not saved'}"),
    ]
    [record] = await records(db)
    assert record["sms_message"]["gateway_ref"] == "RP-1"


async def test_what_rapidpro_may_do_wrong(client: Client, db: Database) -> None:  # EP-SMS-22
    unset = await client.post(RAPIDPRO, json=JSON_SMS, headers=TOKEN)
    await client.put("/api/v1/credentials/rapidpro:incoming", data="t-1")
    refusals = [
        (await client.post(RAPIDPRO, headers=TOKEN), 400, "Request body is required"),
        (await client.post(RAPIDPRO, json=JSON_SMS, headers=NOBODY), 403, "Missing authorization token"),
        (unset, 403, "No incoming key configured"),
        (await client.post(RAPIDPRO, json=JSON_SMS, headers={"Authorization": "Token t-2"}), 403, "Incorrect token"),
        (await client.post(RAPIDPRO, json=JSON_SMS, headers={"Authorization": "t-1"}), 403, "Incorrect token"),
        (await client.post(RAPIDPRO, json={"id": "RP-1"}, headers=TOKEN), 400, "Message was not saved"),
    ]

    for answer, status, error in refusals:
        assert (answer.status, (await answer.json())["error"]) == (status, error)
    assert await records(db) == []
