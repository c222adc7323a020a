"""The documentation's examples of exports, as printed (seed 004, lines 33-153)."""

from __future__ import annotations

import csv
import json
from typing import Any

import pytest
from aiohttp.test_utils import TestClient

from core.couch.client import Database
from tests.api.seed.printed import send

Client = TestClient[Any, Any]

PERSON = {"_id": "jim", "type": "person", "name": "Jim Kirk", "parent": {"_id": "clinic"}, "dhis": {}}
CLINIC = {"_id": "clinic", "type": "clinic", "name": "Clinic", "dhis": {"orgUnit": "KbY9DJ8mBkx"}}
RECORD = {"type": "data_record", "reported_date": 949_392_000_000, "from": "+254711000111", "contact": {"_id": "jim"}}
REPORTS = [
    {**RECORD, "_id": "r1", "form": "immunization_visit", "fields": {"vaccine": "BCG"}},
    {**RECORD, "_id": "r2", "form": "delivery", "fields": {"outcome": "alive"}},
]
MESSAGE = {**RECORD, "_id": "m1", "sms_message": {"message": "hello", "from": "+254711000111"}}
TARGETS = {
    "dhis_data_sets": [{"id": "VMuFODsyWaO", "translation_key": "dhis.set"}],
    "tasks": {"targets": {"items": [{"id": "births", "dhis": {"dataElement": "kB0ZBFisE0e"}}]}},
}
# Line 65 has a comma behind the last member, which no JSON has.
FILTERED_TARGETS = """{
  "filters": {
    "dataSet": "VMuFODsyWaO",
    "date": {
      "from": 949392000000
    },
    "orgUnit": "KbY9DJ8mBkx"
  }
}"""
FORMS = """{
  "filters": {
    "forms": {
      "selected": [
        {
          "code": "immunization_visit"
        }
      ]
    }
  }
}"""
READABLE = """{
  "options": {
    "humanReadable": true
  }
}"""
SEARCH = """{
  "filters": {
    "search": "jim"
  }
}"""
# Titles of line 101 and on, and our columns for them.
MESSAGE_COLUMNS = (
    "id,patient_id,reported_date,from,contact_name,type,state,received,scheduled,pending,sent,cleared,muted,message_id,"
    "sent_by,to_phone,content"
)


@pytest.fixture
async def deployment(client: Client, db: Database) -> None:
    assert (await client.put("/api/v1/settings", json=TARGETS)).status == 200
    target = {"_id": "target~2000-02~jim~org.couchdb.user:jim", "type": "target", "owner": "jim"}
    totals = {**target, "targets": [{"id": "births", "value": {"pass": 1, "total": 3}}]}
    await db.bulk_docs([PERSON, CLINIC, *REPORTS, MESSAGE, totals])


def post(kind: str, body: str) -> str:
    return f"POST /api/v2/export/{kind}\nContent-Type: application/json\n\n{body}"


@pytest.mark.parametrize(
    "text",
    ["GET /api/v2/export/messages?options[humanReadable]=true", post("messages", READABLE)],
    ids=["line 41", "lines 45-49"],
)
async def test_dates_in_human_readable_form(client: Client, deployment: None, text: str) -> None:
    answer = await send(client, text)
    [row] = csv.DictReader((await answer.text()).splitlines())

    assert (row["id"], row["reported_date"], row["content"]) == ("m1", "2000-02-01T08:00:00.000Z", "hello")


async def test_targets_of_a_month_and_an_organisation_unit(client: Client, deployment: None) -> None:
    """Lines 51-67."""
    answer = await send(client, post("dhis", FILTERED_TARGETS))
    found = await answer.json()

    assert (answer.status, answer.content_type) == (200, "application/json")
    assert (found["dataSet"], found["period"]) == ("VMuFODsyWaO", "200002")
    assert found["dataValues"] == [{"dataElement": "kB0ZBFisE0e", "orgUnit": "KbY9DJ8mBkx", "value": 3}]


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("GET /api/v2/export/reports", ["r2", "r1"]),
        (post("reports", FORMS), ["r1"]),
        ("GET /api/v2/export/reports?filters[search]=&filters[forms][selected][0][code]=immunization_visit", ["r1"]),
    ],
    ids=["line 69", "lines 79-90", "line 94"],
)
async def test_reports_by_their_forms(client: Client, deployment: None, text: str, ids: list[str]) -> None:
    answer = await send(client, text)
    rows = list(csv.DictReader((await answer.text()).splitlines()))

    assert (answer.status, answer.content_type) == (200, "text/csv")
    assert [row["_id"] for row in rows] == ids
    assert (rows[-1]["contact.name"], rows[-1]["vaccine"], rows[-1]["reported_date"]) == (
        "Jim Kirk",
        "BCG",
        "949392000000",
    )


async def test_messages(client: Client, deployment: None) -> None:
    """Lines 98-120."""
    answer = await send(client, "GET /api/v2/export/messages")

    assert (await answer.text()).splitlines()[0] == MESSAGE_COLUMNS


async def test_feedback(client: Client, deployment: None) -> None:
    """Lines 122-132, with every parameter."""
    plain = await send(client, "GET /api/v2/export/feedback")
    sheet = await send(client, "GET /api/v2/export/feedback?format=xml&locale=en&tz=-120&skip_header_row=true")

    assert await plain.text() == "id,reported_date,user,app_version,url,info\n"
    assert (sheet.status, sheet.content_type) == (200, "application/vnd.ms-excel")
    assert "<Row>" not in await sheet.text()


@pytest.mark.parametrize(
    "text",
    [post("contacts", SEARCH), "GET /api/v2/export/contacts?filters[search]=jim"],
    ids=["lines 144-149", "line 153"],
)
async def test_a_json_array_of_contacts(client: Client, deployment: None, text: str) -> None:
    answer = await send(client, text)
    contacts = json.loads(await answer.text())

    assert (answer.status, answer.content_type) == (200, "application/json")
    assert [(doc["_id"], doc["parent"]["name"]) for doc in contacts] == [("jim", "Clinic")]
