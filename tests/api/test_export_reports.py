"""GET and POST /api/v2/export/reports: 30 §2.1-2.3."""

from __future__ import annotations

import re
from typing import Any

import pytest
from aiohttp.test_utils import TestClient

from core.couch.client import Database

Client = TestClient[Any, Any]
PATH = "/api/v2/export/reports"
BUSIA = {"_id": "busia", "type": "district_hospital", "name": "Busia"}
KANGA = {"_id": "kanga", "type": "health_center", "name": "Kanga HC", "parent": {"_id": "busia"}}
ASHA = {"_id": "asha", "type": "person", "name": "Asha", "parent": {"_id": "kanga", "parent": {"_id": "busia"}}}
R1 = {
    "_id": "r1",
    "type": "data_record",
    "form": "visit",
    "patient_id": "54321",
    "reported_date": 1709280000000,
    "from": "+254711000111",
    "contact": {"_id": "asha", "parent": {"_id": "kanga", "parent": {"_id": "busia"}}},
    "fields": {"note": 'said "ok"', "vitals": {"weight": 61.5}},
}
HEAD = (
    "_id,form,patient_id,reported_date,from,contact.name,contact.parent.name,contact.parent.parent.name,"
    "contact.parent.parent.parent.name"
)


def report(doc_id: str, date: Any, **members: Any) -> dict[str, Any]:
    return {**R1, "_id": doc_id, "reported_date": date, "fields": {}, **members}


async def lines(client: Client, query: str = "", **options: Any) -> list[str]:
    answer = await client.get(PATH + query, **options)
    text = await answer.text()
    assert answer.status == 200, text
    return text.splitlines()


async def ids(client: Client, query: str) -> list[str]:
    return [line.split(",")[0].strip('"') for line in (await lines(client, query))[1:]]


@pytest.fixture
async def family(db: Database) -> None:
    await db.bulk_docs([BUSIA, KANGA, ASHA])


async def test_the_example_of_the_contract(client: Client, db: Database, family: None) -> None:
    await db.put(R1)
    path = f"{PATH}?filters[forms][selected][0][code]=visit&options[humanReadable]=true"
    answer = await client.get(path)

    assert await answer.text() == (
        f"{HEAD},note,vitals.weight\n"
        '"r1","visit","54321","2024-03-01T08:00:00.000Z","+254711000111","Asha","Kanga HC","Busia",,'
        '"said \\"ok\\"",61.5\n'
    )  # 30 §2.3
    assert answer.headers["Content-Type"] == "text/csv"  # EP-EXP-6
    disposition = answer.headers["Content-Disposition"]
    assert re.fullmatch(r"attachment; filename=reports-\d{12}\.csv", disposition)


async def test_newest_first_then_by_id(client: Client, db: Database) -> None:
    dates = {"b": 2, "a": 2, "c": 3, "d": 1, "none": None}
    await db.bulk_docs([report(name, date) for name, date in dates.items()])

    assert await ids(client, "") == ["c", "a", "b", "d", "none"]  # EP-EXP-24


async def test_many_reports_come_in_parts_and_the_same_by_post(client: Client, db: Database) -> None:
    await db.bulk_docs([report(f"r{number:04}", 1709280000000 + number) for number in range(1050)])
    answer = await client.get(PATH, params={"options[humanReadable]": "true"}, headers={"Accept-Encoding": "identity"})
    got, chunks, whole = b"", 0, False
    async for data, whole in answer.content.iter_chunks():
        got, chunks = got + data, chunks + whole
    posted = await client.post(PATH, json={"options": {"humanReadable": True}})

    assert chunks >= 11  # 30 §19 check 2
    assert len(got.splitlines()) == 1051
    assert b"2024-03-01T08:00:01.049Z" in got.splitlines()[1]
    assert await posted.read() == got  # DIV-8
