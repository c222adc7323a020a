"""GET and POST /api/v2/export/reports: 30 §2.1-2.3."""

from __future__ import annotations

import asyncio
import csv
import io
import re
from typing import Any

import pytest
from aiohttp.test_utils import TestClient

from core.config import Config
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
    )  # 30 §2.3, EP-EXP-20, EP-EXP-21, EP-EXP-23
    assert answer.headers["Content-Type"] == "text/csv"  # EP-EXP-6
    disposition = answer.headers["Content-Disposition"]
    assert re.fullmatch(r"attachment; filename=reports-\d{12}\.csv", disposition)


async def test_newest_first_then_the_last_id_first(client: Client, db: Database) -> None:
    dates = {"b": 2, "a": 2, "c": 3, "d": 1, "none": None}
    await db.bulk_docs([report(name, date) for name, date in dates.items()])

    assert await ids(client, "") == ["c", "b", "a", "d", "none"]  # EP-EXP-24


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


async def test_cells_of_every_kind(client: Client, db: Database) -> None:
    fields = {
        "array": ["a", 'b "c"'],
        "comma": "a,b",
        "lines": "a\nb",
        "none": None,
        "number": 17.0,
        "slash": "a\\",
        "yes": True,
    }
    await db.put(report("r", None, patient_id=None, contact=None, fields=fields, **{"from": None}))
    answer = await client.get(PATH)
    doubled = await client.get(f"{PATH}?options[csv]=rfc4180")

    assert (await answer.text()).partition("\n")[2] == (
        '"r","visit",,"",,,,,,"[\\"a\\",\\"b \\\\\\"c\\\\\\"\\"]","a,b","a\nb",,17,"a\\\\",true\n'
    )  # EP-EXP-9, EP-EXP-10
    [_, row] = csv.reader(io.StringIO(await doubled.text(), newline=""))
    assert row[9:] == ['["a","b \\"c\\""]', "a,b", "a\nb", "", "17", "a\\", "true"]


async def test_formulas_are_defused_unless_the_settings_say_otherwise(client: Client, db: Database) -> None:
    fields = {"a": "=1+1", "b": "-2 kg", "c": "@SUM(1)", "d": "+254 711-000", "e": "-5"}
    await db.put(report("r", 1, fields=fields))
    defused = (await lines(client))[1]
    assert (await client.put("/api/v1/settings", json={"exports": {"defuse_formulas": False}})).status == 200
    plain = (await lines(client))[1]

    assert defused.endswith('''"'=1+1","'-2 kg","'@SUM(1)","+254 711-000","-5"''')
    assert plain.endswith('"=1+1","-2 kg","@SUM(1)","+254 711-000","-5"')


async def test_an_object_where_others_have_a_value_is_json(client: Client, db: Database) -> None:
    await db.bulk_docs([report("a", 2, fields={"x": 1}), report("b", 1, fields={"x": {"y": 2}})])

    assert [line.split(",", 9)[9] for line in await lines(client)] == [
        "x,x.y",
        "1,",
        '"{\\"y\\":2}",2',
    ]  # EP-EXP-10, EP-EXP-22


ELSEWHERE = {"_id": "x", "parent": {"_id": "other"}}
FILTERED = [
    report("old", 10),
    report("new", 30, form="birth", verified=True),
    report("bad", 20, verified=False, errors=[{"code": "x"}], patient_id="777"),
    report(
        "far", 25, contact={"_id": "x", "parent": {"_id": "other"}}, fields={"patient_uuid": "neema", "note": "Hot"}
    ),
]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("filters[date][from]=20&filters[date][to]=25", "far bad"),
        ("filters[date][from]=25", "new far"),
        ("filters[date][to]=10", "old"),
        ("filters[date][from]=25&filters[date][to]=20", ""),
        ("filters[date][from]=9999999999999", ""),
        ("filters[forms][selected][0][code]=birth", "new"),
        ("filters[forms][selected][0][code]=birth&filters[forms][options][0][code]=birth", "new far bad old"),
        ("filters[forms][selected][0][code]=visit&filters[date][from]=11", "far bad"),
        ("filters[valid]=true", "new far old"),
        ("filters[valid]=false", "bad"),
        ("filters[verified]=true", "new"),
        ("filters[verified]=", "far old"),
        ("filters[verified][]=true&filters[verified][]=false", "new bad"),
        ("filters[facilities][selected][0]=busia", "new bad old"),
        ("filters[facilities][selected][]=other&filters[facilities][selected][]=asha", "far"),
        ("filters[subjectIds][0]=777&filters[subjectIds][1]=neema", "far bad"),
        ("&".join(f"filters[subjectIds][]={each}" for each in [*range(30), 777]), "bad"),
        ("filters[search]=HOT", "far"),
        ("filters[search]=patient_id:777", "bad"),
        ("filters[search]=ho", "new far bad old"),
        ("filters[search]=hot&filters[valid]=false", ""),
    ],
)
async def test_filters(client: Client, db: Database, query: str, found: str) -> None:
    await db.bulk_docs(FILTERED)

    assert await ids(client, f"?{query}") == found.split()  # EP-EXP-4, EP-EXP-5, EP-EXP-11, EP-EXP-12, EP-EXP-13


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("filters[date][from]=x", "filters.date.from"),
        ("filters[date][to]=--5", "filters.date.to"),
        ("filters[valid]=maybe", "filters.valid"),
        ("filters[forms]=visit", "filters.forms"),
        ("filters=visit", "filters"),
        ("options[limit]=0", "options.limit"),
        ("options[csv]=tsv", "options.csv"),
        ("options[humanReadable]=yes", "options.humanReadable"),
        ("filters[a]=1&filters[a][b]=2", "filters[a][b]"),
    ],
)
async def test_a_refusal_names_what_is_wrong(client: Client, query: str, named: str) -> None:
    answer = await client.get(f"{PATH}?{query}")

    assert answer.status == 400
    assert named in await answer.text()


async def test_a_body_must_be_an_object(client: Client) -> None:
    assert (await client.post(PATH, json=["x"])).status == 400
    assert (await client.post(PATH, data="x", headers={"Content-Type": "text/plain"})).status == 400


async def test_each_report_once_though_reports_change_meanwhile(client: Client, db: Database) -> None:
    """Rows that move to the end and those that come anew are not met (EP-EXP-7)."""
    docs = [report(f"r{number:04}", 10_000 + number, fields={"note": "x" * 2000}) for number in range(2000)]
    await db.bulk_docs(docs)
    async with client.get(PATH, headers={"Accept-Encoding": "identity"}) as answer:
        head = await answer.content.readline()
        stored = [row["doc"] for row in await db.all_docs(startkey="r1900", endkey="r1999", include_docs=True)]
        await db.bulk_docs([{**doc, "reported_date": 1} for doc in stored])
        await db.bulk_docs([report(f"s{number}", number) for number in range(50)])
        rest = await answer.read()
    found = [line.split(b",")[0].strip(b'"').decode() for line in rest.splitlines()]

    assert head.startswith(b"_id,")
    assert found == [doc["_id"] for doc in reversed(docs)]


async def test_a_failure_on_the_way_is_told_and_cuts_the_connection(
    client: Client, config: Config, db: Database
) -> None:
    docs = [report(f"r{number:04}", number, fields={"note": f"{number}" * 1000}) for number in range(3000)]
    await db.bulk_docs(docs)
    reader, writer = await asyncio.open_connection(client.host, client.port)
    writer.write(f"GET {PATH} HTTP/1.1\r\nHost: x\r\nAuthorization: {config.authorization}\r\n\r\n".encode())
    got = await reader.readuntil(b"_id,")
    await db.delete_database()
    got += await reader.read()
    writer.close()

    assert got.startswith(b"HTTP/1.1 200 ")
    assert got.count(b"\n") < 3000
    assert not got.endswith(b"0\r\n\r\n")  # ERR-15: the body has no end
    assert b"--ERROR--\nError exporting data: " in got  # EP-EXP-8; the read under way is cut, or the next refused
