"""GET and POST /api/v2/export/{contacts,dhis,feedback,messages,user-devices}: 30 §2.4-2.8."""

from __future__ import annotations

import csv
import xml.etree.ElementTree as ElementTree
from typing import Any

import orjson
import pytest
from aiohttp.test_utils import TestClient

from api.app import create_app
from core.config import Config
from core.couch.client import Couch, Database
from core.errors import InvalidInput
from core.exports.devices import browser_of
from tests.api.family import ASHA, FAMILY, IN_ODERA

Client = TestClient[Any, Any]
Table = list[dict[str, str]]
DATE = 1_709_280_000_000
CONTACT = {"_id": "p-asha", "parent": ASHA["parent"]}


async def get(client: Client, path: str, **options: Any) -> str:
    answer = await client.get(f"/api/v2/export/{path}", **options)
    text = await answer.text()
    assert answer.status == 200, text
    return text


async def table(client: Client, path: str, **options: Any) -> Table:
    text = await get(client, path, **options)
    return list(csv.DictReader(text.splitlines(), escapechar="\\", doublequote=False))


async def test_every_kind_is_answered_by_get_and_by_post(client: Client, db: Database) -> None:
    await db.bulk_docs(FAMILY)
    kinds = ("reports", "messages", "feedback", "contacts", "user-devices")
    got = [await get(client, kind) for kind in kinds]
    posted = [await client.post(f"/api/v2/export/{kind}", json={}) for kind in kinds]

    assert [await answer.text() for answer in posted] == got  # EP-EXP-1


# --- messages ---------------------------------------------------------------------------------------------------------

HISTORY = [
    {"state": "pending", "timestamp": "2024-03-01T08:00:00.000Z"},
    {"state": "sent", "timestamp": "2024-03-01T08:01:00.000Z"},
    {"state": "pending", "timestamp": "2024-03-01T08:02:00.000Z"},
]
FULL = {
    "_id": "m-full",
    "type": "data_record",
    "form": "P",
    "from": "+254711000111",
    "reported_date": DATE,
    "patient_id": "60001",
    "contact": CONTACT,
    "responses": [{"to": "+254711000111", "message": "thank you", "uuid": "u1"}],
    "tasks": [
        {
            "messages": [{"to": "1", "message": "a", "uuid": "u2"}, {"to": "2", "message": "b", "uuid": "u3"}],
            "state": "pending",
            "state_history": HISTORY,
        }
    ],
    "scheduled_tasks": [
        {
            "messages": [{"to": "3", "message": "c", "uuid": "u4"}],
            "state": "scheduled",
            "due": "2024-04-01T08:00:00.000Z",
            "translation_key": "anc.reminder",
            "group": 2,
        },
        {"state": "scheduled", "due": DATE, "type": "ANC", "message_key": "come", "recipient": "reporting_unit"},
    ],
    "sms_message": {"message": "P 60001", "from": "+254711000111"},
}
TEXTS = {"anc.reminder": "ANC {{group}}", "come": "Come, {{patient_name}}", "ds.one": "Births"}


async def translate(db: Database) -> None:
    stored = {"type": "translations", "code": "en", "generic": {}}
    await db.update("messages-en", lambda doc: {**(doc or stored), "custom": TEXTS})


@pytest.fixture
async def family(db: Database) -> None:
    await db.bulk_docs(FAMILY)


async def test_a_row_for_each_message_of_a_document(client: Client, db: Database, family: None) -> None:
    await db.put(FULL)
    await translate(db)
    text = await get(client, "messages")
    rows = await table(client, "messages")

    assert text.splitlines()[0] == (
        "id,patient_id,reported_date,from,contact_name,type,state,received,scheduled,pending,sent,cleared,muted,"
        "message_id,sent_by,to_phone,content"
    )  # EP-EXP-30
    assert [(row["type"], row["state"], row["content"]) for row in rows] == [
        ("Automated Reply", "sent", "thank you"),
        ("Task Message", "pending", "a"),
        ("Task Message", "pending", "b"),
        ("ANC 2", "scheduled", "c"),
        ("ANC", "scheduled", "Come, Neema W."),
        ("Message", "received", "P 60001"),
    ]  # EP-EXP-31, EP-EXP-32, EP-EXP-34
    assert {(row["id"], row["patient_id"], row["contact_name"]) for row in rows} == {
        ("m-full", "60001", "Asha")
    }  # EP-EXP-35
    assert (rows[1]["pending"], rows[1]["sent"]) == (str(DATE + 120_000), str(DATE + 60_000))  # EP-EXP-33
    assert [row["scheduled"] for row in rows] == ["", "", "", "1711958400000", str(DATE), ""]
    assert [row["message_id"] for row in rows] == ["u1", "u2", "u3", "u4", "", ""]
    assert (rows[4]["to_phone"], rows[5]["sent_by"], rows[5]["received"]) == ("+254711000111",) * 2 + (str(DATE),)


async def test_missing_dates_are_quoted_and_dates_can_be_read(client: Client, db: Database) -> None:
    incoming = {"type": "data_record", "from": "+1", "reported_date": DATE, "sms_message": {"message": 'a "b", c'}}
    await db.put({**incoming, "_id": "in"})
    answer = await client.post("/api/v2/export/messages", json={"options": {"humanReadable": True}})
    line = (await answer.text()).splitlines()[1]

    assert line == (
        '"in",,"2024-03-01T08:00:00.000Z","+1",,"Message","received","2024-03-01T08:00:00.000Z",'
        '"","","","","",,"+1",,"a \\"b\\", c"'
    )  # EP-EXP-9, EP-EXP-10


async def test_each_document_once_the_oldest_first(client: Client, db: Database, family: None) -> None:
    sent = {"state": "sent", "messages": [{"to": "1", "message": "x", "uuid": "u"}] * 2}
    await db.bulk_docs(
        [
            {"_id": "d", "type": "data_record", "reported_date": 4, "kujua_message": True, "tasks": [sent]},
            {"_id": "c", "type": "token_login_sms", "reported_date": 3, "tasks": [sent]},
            {"_id": "b", "type": "data_record", "reported_date": 2, "responses": [{"message": "r"}]},
            {"_id": "a", "type": "data_record", "reported_date": 2, "form": "f", "sms_message": {"message": "f 1"}},
            {"_id": "none", "type": "data_record", "reported_date": 1, "form": "f", "fields": {}, "tasks": []},
        ]
    )
    rows = await table(client, "messages")

    assert [row["id"] for row in rows] == ["a", "b", "c", "c", "d", "d"]  # EP-EXP-36, DIV-7


async def test_contact_name_is_absent_in_the_profile_cht(
    couch: Couch, config: Config, indexer: Any, aiohttp_client: Any
) -> None:
    client = await aiohttp_client(create_app(config.replace(compat="cht")))
    client.session.headers["Authorization"] = config.authorization
    head = (await get(client, "messages")).splitlines()[0]
    contacts = await client.get("/api/v2/export/contacts")

    assert head.startswith("id,patient_id,reported_date,from,type,")  # DIV-6
    assert contacts.headers["Content-Type"] == "text/csv"  # DIV-4


# --- contacts ---------------------------------------------------------------------------------------------------------


async def test_contacts_are_whole_documents_by_type_then_id(client: Client, family: None) -> None:
    answer = await client.get("/api/v2/export/contacts")
    contacts = await answer.json()

    assert [doc["_id"] for doc in contacts] == [
        "c-odera", "d-busia", "hc-kanga", "p-asha", "p-mary", "p-neema", "p-omar",
    ]  # EP-EXP-52  # fmt: skip
    assert contacts[3]["parent"]["parent"]["name"] == "Busia"  # EP-EXP-50
    assert answer.headers["Content-Disposition"].endswith(".json")


async def test_no_contacts_are_an_empty_array(client: Client) -> None:
    assert await get(client, "contacts") == "[]"


@pytest.mark.parametrize(
    ("query", "headers"),
    [("format=csv", {}), ("options[format]=csv", {}), ("", {"Accept": "text/csv"})],
)
async def test_contacts_as_csv(client: Client, family: None, query: str, headers: dict[str, str]) -> None:
    text = await get(client, f"contacts?filters[types][selected][0]=person&{query}", headers=headers)
    head, _, _, neema, _ = text.splitlines()

    assert head == "id,rev,name,patient_id,type,contact_type,place_id"  # EP-EXP-51
    assert neema.startswith('"p-neema","1-')
    assert neema.endswith(',"Neema W.","60001","person",,')


async def test_filtered_contacts_are_sorted_as_lists_have_them(client: Client, db: Database) -> None:
    clinic = {"type": "clinic", "parent": IN_ODERA}
    await db.bulk_docs(
        [
            {"_id": "1", "name": "Zoe", **clinic},
            {"_id": "2", "name": "amani", **clinic},
            {"_id": "3", "name": "Aba", "muted": DATE, **clinic},
            {"_id": "4", "name": "Aba", "type": "person", "parent": {"_id": "elsewhere"}},
        ]
    )
    by_type = await client.get("/api/v2/export/contacts?filters[types][selected][]=clinic")
    below = {"types": {"selected": ["clinic", "person"]}, "parent": "c-odera"}
    by_parent = await client.post("/api/v2/export/contacts", json={"filters": below})

    assert [doc["_id"] for doc in await by_type.json()] == ["2", "1", "3"]  # EP-EXP-52
    assert [doc["_id"] for doc in await by_parent.json()] == ["2", "1", "3"]


@pytest.mark.parametrize(
    ("search", "found"),
    [
        ("NEE", ["p-neema"]),
        ("+254711000", ["p-asha", "p-neema"]),
        ("neema omar", []),
        ("patient_id:60001", ["p-neema"]),
    ],
)
async def test_contacts_by_words(client: Client, family: None, search: str, found: list[str]) -> None:
    answer = await client.get("/api/v2/export/contacts", params={"filters[search]": search})

    assert [doc["_id"] for doc in await answer.json()] == found  # EP-EXP-12


# --- feedback ---------------------------------------------------------------------------------------------------------


@pytest.fixture
async def users_meta(couch: Couch, config: Config, client: Client) -> Database:
    found = couch.db(config.db_name("users-meta"))
    meta = {"time": "2024-03-01T08:00:00.000Z", "user": {"name": "asha"}, "version": "4.1", "url": "/#/a"}
    await found.bulk_docs(
        [
            {"_id": "feedback-1", "type": "feedback", "meta": meta, "info": {"message": 'no "x"', "n": 1}},
            {"_id": "feedback-2", "type": "feedback"},
        ]
    )
    return found


async def test_feedback_the_last_first(client: Client, users_meta: Database) -> None:
    assert await get(client, "feedback") == (
        "id,reported_date,user,app_version,url,info\n"
        '"feedback-2",,,,,\n'
        '"feedback-1","2024-03-01T08:00:00.000Z","asha","4.1","/#/a",'
        '"{\\"message\\":\\"no \\\\\\"x\\\\\\"\\"\\,\\"n\\":1}"\n'
    )  # EP-EXP-40, MOD-71
    rows = await table(client, "feedback")
    assert orjson.loads(rows[1]["info"]) == {"message": 'no "x"', "n": 1}


async def test_feedback_may_be_nested_deeply(client: Client, users_meta: Database) -> None:
    info: Any = "x"
    for _ in range(300):
        info = [info]
    try:
        await users_meta.put({"_id": "feedback-3", "type": "feedback", "info": info})
    except InvalidInput:
        pytest.skip("only CouchDB takes it")

    assert "[" * 300 in (await get(client, "feedback"))


async def test_feedback_in_a_zone_without_titles(client: Client, users_meta: Database) -> None:
    text = await get(client, "feedback?tz=-120&skip_header_row=true&locale=sw")

    assert '"2024-03-01T06:00:00.000-02:00"' in text.splitlines()[1]  # EP-EXP-41, DIV-5


async def test_feedback_as_a_spreadsheet(client: Client, users_meta: Database) -> None:
    answer = await client.get("/api/v2/export/feedback?format=xml")
    rows = [
        ["".join(cell.itertext()) for cell in row]
        for row in ElementTree.fromstring(await answer.text()).iter("{urn:schemas-microsoft-com:office:spreadsheet}Row")
    ]

    assert answer.headers["Content-Type"] == "application/vnd.ms-excel"  # EP-EXP-41
    assert answer.headers["Content-Disposition"].endswith(".xml")
    assert [row[0] for row in rows] == ["id", "feedback-2", "feedback-1"]
    assert rows[2][5] == '{"message":"no \\"x\\"","n":1}'


# --- dhis -------------------------------------------------------------------------------------------------------------

DHIS_SETTINGS = {
    "dhis_data_sets": [{"id": "DS1", "translation_key": "ds.one"}, {"id": "DS2", "translation_key": "ds.two"}],
    "tasks": {
        "targets": {
            "items": [
                {"id": "births", "dhis": {"dataElement": "DE1", "categoryOptionCombo": "X", "dataSet": "DS1"}},
                {"id": "visits", "dhis": {"dataElement": "DE2"}},
                {"id": "other", "dhis": {"dataElement": "DE3", "dataSet": "DS3"}},
            ]
        }
    },
}


def target(owner: str, births: int) -> dict[str, Any]:
    values = [{"id": "births", "value": {"pass": 1, "total": births}}, {"id": "unknown", "value": {"total": 9}}]
    return {"_id": f"target~2024-03~{owner}~u", "type": "target", "owner": owner, "targets": values}


@pytest.fixture
async def dhis(client: Client, db: Database) -> None:
    assert (await client.put("/api/v1/settings", json=DHIS_SETTINGS)).status == 200
    units = {"d-busia": {"orgUnit": "OU0"}, "hc-kanga": [{"orgUnit": "OU1"}, {"orgUnit": "OU2", "dataSet": "DS2"}]}
    docs = [{**doc, "dhis": units[doc["_id"]]} if doc["_id"] in units else doc for doc in FAMILY]
    await db.bulk_docs([*docs, target("p-asha", 10), target("p-mary", 7), target("nobody", 5)])


async def test_targets_of_a_month_as_a_data_value_set(client: Client, dhis: None) -> None:
    filters = {"dataSet": "DS1", "date": {"from": DATE}, "orgUnit": "OU1"}
    answer = await client.post("/api/v2/export/dhis", json={"filters": filters})
    found = await answer.json()

    assert (found["dataSet"], found["period"]) == ("DS1", "202403")  # EP-EXP-60, EP-EXP-64
    assert found["dataValues"] == [
        {"dataElement": "DE1", "categoryOptionCombo": "X", "orgUnit": "OU1", "value": 17},
        {"dataElement": "DE2", "orgUnit": "OU1", "value": 0},
    ]  # EP-EXP-62, EP-EXP-63


async def test_a_data_value_set_to_be_read(client: Client, db: Database, dhis: None) -> None:
    await translate(db)
    query = f"filters[dataSet]=DS1&filters[date][from]={DATE}&options[humanReadable]=true"
    found = orjson.loads(await get(client, f"dhis?{query}"))

    assert found["dataSet"] == "Births"  # EP-EXP-65
    assert [(each["orgUnit"], each["dataElement"], each["value"]) for each in found["dataValues"]] == [
        ("Busia", "births", 17), ("Busia", "visits", 0),
        ("Kanga Health Centre", "births", 17), ("Kanga Health Centre", "visits", 0),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("", 'filter "dataSet" is required'),
        ("filters[dataSet]=DS1", 'filter "from" is required'),
        (f"filters[dataSet]=DS9&filters[date][from]={DATE}", 'dataSet "DS9" is not defined'),
    ],
)
async def test_what_a_data_value_set_needs(client: Client, dhis: None, query: str, reason: str) -> None:
    answer = await client.get(f"/api/v2/export/dhis?{query}")

    assert (answer.status, await answer.text()) == (400, reason)  # EP-EXP-61


async def test_a_data_set_needs_elements(client: Client) -> None:
    assert (await client.put("/api/v1/settings", json={"dhis_data_sets": [{"id": "DS1"}]})).status == 200
    answer = await client.get(f"/api/v2/export/dhis?filters[dataSet]=DS1&filters[date][from]={DATE}")

    assert (answer.status, await answer.text()) == (400, 'dataSet "DS1" has no dataElements')  # EP-EXP-61


# --- user-devices -----------------------------------------------------------------------------------------------------

CHROME = (
    "Mozilla/5.0 (Linux; Android 13) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.6099.43 Mobile Safari/537.36"
)


def telemetry(day: int, device: dict[str, Any]) -> dict[str, Any]:
    metadata = {"user": "asha", "deviceId": "d1", "year": 2024, "month": 3, "day": day}
    return {"_id": f"telemetry-2024-3-{day}-asha-d1", "type": "telemetry", "metadata": metadata, "device": device}


async def test_what_each_device_told_last(client: Client, users_meta: Database) -> None:
    versions = {"apk": "v1.0", "android": "13", "cht": "4.5", "settings": "5-abc"}
    newest = {"userAgent": CHROME, "versions": versions, "storage": {"free": 1, "total": 2}}
    await users_meta.bulk_docs([telemetry(9, {}), telemetry(10, newest)])
    found = orjson.loads(await get(client, "user-devices"))

    assert found == [
        {
            "user": "asha",
            "deviceId": "d1",
            "date": "2024-03-10",
            "browser": {"name": "Chrome", "version": "120.0.6099.43"},
            "apk": "v1.0",
            "android": "13",
            "cht": "4.5",
            "settings": "5-abc",
            "storageFree": 1,
            "storageTotal": 2,
        }
    ]  # EP-EXP-70, MOD-72


@pytest.mark.timeout(60)
def test_a_device_that_tells_too_much_holds_nobody_up() -> None:
    assert browser_of("Chrome " * 300_000) == {"name": None, "version": None}
