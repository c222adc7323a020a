"""The documentation's examples of bulk operations, monitoring, hydrate and contacts by phone, as printed
(seed 004, lines 765-860, 900-997)."""

from __future__ import annotations

import json
from typing import Any

import pytest
from aiohttp.test_utils import TestClient

from core.couch.client import Database
from tests.api.seed.printed import send, shape

Client = TestClient[Any, Any]


async def test_documents_are_deleted_in_batches(client: Client, db: Database) -> None:
    """Lines 788-815; the page's `...` stands for the ids between."""
    ids = [f"id{number}" for number in range(1, 151)]
    await db.bulk_docs([{"_id": doc_id, "type": "data_record"} for doc_id in ids])
    docs = json.dumps({"docs": [{"_id": doc_id} for doc_id in ids]}, indent=2)

    answer = await send(client, f"POST /api/v1/bulk-delete\nContent-Type: application/json\n\n{docs}")

    batches = await answer.json()
    assert (answer.status, answer.content_type) == (200, "application/json")
    assert [len(batch) for batch in batches] == [100, 50]
    assert [row["id"] for batch in batches for row in batch] == ids
    shapes = [shape(row) for batch in batches for row in batch]
    assert shapes == [{"ok": "bool", "id": "str", "rev": "str"}] * 150


MONITORING = {
    "version.app": str,
    "version.node": str,
    "version.couchdb": str,
    **{
        f"couchdb.{name}.{member}": kind
        for name in ("medic", "sentinel", "usersmeta", "users")
        for member, kind in (
            ("name", str),
            ("update_sequence", int),
            ("doc_count", int),
            ("doc_del_count", int),
            ("fragmentation", (int, float)),
        )
    },
    "date.current": int,
    "date.uptime": (int, float),
    "sentinel.backlog": int,
    "messaging.outgoing.due": int,
    "messaging.outgoing.scheduled": int,
    "messaging.outgoing.muted": int,
    "outbound_push.backlog": int,
    "feedback.count": int,
    "conflict.count": int,
}  # lines 836-853


async def test_monitoring_of_anybody(client: Client) -> None:
    """Lines 830-853."""
    answer = await send(client, "GET /api/v1/monitoring", {"Authorization": ""})

    told = await answer.json()
    assert answer.status == 200
    for path, kind in MONITORING.items():
        value: Any = told
        for name in path.split("."):
            value = value[name]
        assert isinstance(value, kind), path  # type: ignore[arg-type]


@pytest.fixture
async def documents(db: Database) -> None:
    await db.bulk_docs([{"_id": "id1", "type": "person", "name": "One"}, {"_id": "id3", "type": "data_record"}])


HYDRATE = {
    "GET": 'GET /api/v1/hydrate?doc_ids=["id1","missingId","id3"]',  # line 912
    "POST": """POST /api/v1/hydrate
Content-Type: application/json

{
  "doc_ids": ["id1","missingId","id3"]
}""",  # lines 928-933
}


@pytest.mark.parametrize("request_text", HYDRATE.values(), ids=HYDRATE)
async def test_documents_are_hydrated_in_order(client: Client, documents: None, request_text: str) -> None:
    """Lines 912-920 and 928-942."""
    answer = await send(client, request_text)

    rows = await answer.json()
    assert (answer.status, answer.content_type) == (200, "application/json")
    assert [set(row) for row in rows] == [{"id", "doc"}, {"id", "error"}, {"id", "doc"}]
    assert rows[1] == {"id": "missingId", "error": "not_found"}
    assert [rows[0]["doc"]["_id"], rows[2]["doc"]["_id"]] == ["id1", "id3"]


BY_PHONE = {
    "GET": ('GET /api/v1/contacts-by-phone?phone="%2B40-(744)-999-999"', "+40744999999"),  # line 957
    "POST": (
        """POST /api/v1/contacts-by-phone
Content-Type: application/json

{
  "phone": "+40 (21) 222-3333"
}""",
        "+40212223333",
    ),  # lines 979-984
}


@pytest.mark.parametrize(("request_text", "phone"), BY_PHONE.values(), ids=BY_PHONE)
async def test_contacts_are_found_by_phone(client: Client, db: Database, request_text: str, phone: str) -> None:
    """Lines 957-968 and 979-997; `docs` is a list (DIV-19)."""
    people = [{"_id": f"p-{number}", "type": "person", "name": "P", "phone": phone} for number in (1, 2)]
    await db.bulk_docs(people)

    answer = await send(client, request_text)

    found = await answer.json()
    assert (answer.status, answer.content_type) == (200, "application/json")
    assert found["ok"] is True
    assert [doc["_id"] for doc in found["docs"]] == ["p-1", "p-2"]


async def test_no_contact_of_a_phone_is_404(client: Client) -> None:
    """Line 946."""
    assert (await send(client, BY_PHONE["GET"][0])).status == 404
