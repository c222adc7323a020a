"""The query shapes of the views' callers, over HTTP, on a prepared database (60 §8b)."""

from __future__ import annotations

from typing import Any

import pytest

from core.couch.client import Couch, Database
from core.couch.ddocs import install, load_bundle
from core.errors import Forbidden

H1 = {"_id": "h1", "type": "health_center", "name": "Kanga", "place_id": "70001", "rc_code": "kng", "reported_date": 1}
C1 = {"_id": "c1", "type": "clinic", "name": "Odera", "parent": {"_id": "h1"}, "muted": "2024-03-01"}
AMA = {
    "_id": "p1",
    "type": "person",
    "name": "Ama",
    "phone": "+254711000222",
    "patient_id": "60001",
    "parent": {"_id": "c1", "parent": {"_id": "h1"}},
    "reported_date": 2,
}
SUBMITTER = {"_id": "p1", "parent": AMA["parent"]}


def report(doc_id: str, reported_date: int, **members: Any) -> dict[str, Any]:
    return {
        "_id": doc_id,
        "type": "data_record",
        "form": "V",
        "reported_date": reported_date,
        "contact": SUBMITTER,
        **members,
    }


def task(state: str, due: int, uuid: str) -> dict[str, Any]:
    return {"state": state, "due": due, "messages": [{"uuid": uuid, "to": "+1", "message": "hi", "contact": SUBMITTER}]}


DOCS = [
    H1,
    C1,
    AMA,
    report("r1", 100, fields={"patient_id": "60001", "visited_contact_uuid": "c1"}, verified=True),
    report("r2", 200, patient_id=60001, errors=[{"code": "x"}], fields={"visited_contact_uuid": "c1"}),
    report("r3", 300, form="W"),
    {
        "_id": "m1",
        "type": "data_record",
        "kujua_message": True,
        "reported_date": 400,
        "tasks": [task("pending", 400, "u1")],
        "scheduled_tasks": [task("scheduled", 9_000, "u2"), task("sent", 500, "u3"), task("failed", 600, "u4")],
    },
    {
        "_id": "m2",
        "type": "data_record",
        "contact": SUBMITTER,
        "from": "+1",
        "reported_date": 450,
        "sms_message": {"message": "yes", "gateway_ref": "g1", "uuid": "u9"},
    },
    {"_id": "form:v", "type": "form"},
]


@pytest.fixture
async def filled(db: Database) -> Database:
    """The main database with the documents of this file."""
    assert all("ok" in row for row in await db.bulk_docs(DOCS))
    return db


def ids(rows: list[dict[str, Any]]) -> list[str]:
    return [row["id"] for row in rows]


async def test_messages_by_state_gives_the_gateway_all_that_waits(filled):  # DDOC-100
    rows = await filled.view(
        "medic",
        "messages_by_state",
        startkey=["pending-or-forwarded", 0],
        endkey=["pending-or-forwarded", "\ufff0"],
        limit=25,
    )

    assert [row["value"] for row in rows] == [{"content": "hi", "to": "+1", "id": "u1"}]


async def test_messages_by_state_pages_the_due_job(filled):  # DDOC-100
    due = {"startkey": ["scheduled", 0], "endkey": ["scheduled", 10_000], "limit": 1000}

    assert ids(await filled.view("medic", "messages_by_state", **due)) == ["m1"]
    assert await filled.view("medic", "messages_by_state", **{**due, "endkey": ["scheduled", 8_999]}) == []


async def test_messages_by_uuid_and_gateway_ref_by_keys(filled):  # DDOC-101
    assert ids(await filled.view("medic-sms", "messages_by_uuid", keys=["u4", "none", "u1"])) == ["m1", "m1"]

    (row,) = await filled.view("medic-sms", "messages_by_gateway_ref", keys=["g0", "g1"])
    assert (row["key"], row["value"]) == ("g1", "u9")


async def test_docs_by_shortcode_by_keys(filled):  # DDOC-102
    rows = await filled.view("medic", "docs_by_shortcode", keys=["60001", "60002", "70001"])

    assert sorted(row["key"] for row in rows) == ["60001", "60001", "70001"]


async def test_contacts_by_reference_by_mixed_keys(filled):  # DDOC-103
    keys = [["shortcode", "60001"], ["external", "KNG"], ["shortcode", "nobody"]]

    rows = await filled.view("medic-client", "contacts_by_reference", keys=keys, include_docs=True)

    assert [(row["doc"]["name"], row["key"][1]) for row in rows] == [("Ama", "60001"), ("Kanga", "KNG")]


async def test_contacts_by_phone_with_the_document(filled):  # DDOC-104
    (row,) = await filled.view("medic-client", "contacts_by_phone", key="+254711000222", include_docs=True)

    assert row["doc"]["name"] == "Ama"


async def test_reports_by_subject_by_keys(filled):  # DDOC-105
    query = {"keys": ["60001", "c1"], "include_docs": True, "limit": 10}

    rows = await filled.view("medic-client", "reports_by_subject", **query)

    assert [row["doc"]["_id"] for row in rows] == ["r1", "r2"]
    assert ids(await filled.view("medic-client", "reports_by_subject", **query, skip=1)) == ["r2"]


async def test_contacts_by_depth_by_ids_and_distances(filled):  # DDOC-106
    rows = await filled.view("medic", "contacts_by_depth", keys=[["h1"], ["h1", 1], ["h1", 9]])

    assert [(row["id"], row["key"]) for row in rows] == [
        ("c1", ["h1"]),
        ("h1", ["h1"]),
        ("p1", ["h1"]),
        ("c1", ["h1", 1]),
    ]


async def test_reports_by_form_and_parent_groups_and_lists(filled):  # DDOC-107
    (row,) = await filled.view("medic", "reports_by_form_and_parent", keys=[["V", "c1"]], group=True)

    assert row["value"] == {"sum": 300, "count": 2, "min": 100, "max": 200, "sumsqr": 50_000}
    one = {"startkey": ["V", "c1"], "endkey": ["V", "c1"], "reduce": False}
    assert ids(await filled.view("medic", "reports_by_form_and_parent", **one)) == ["r1", "r2"]


async def test_contacts_by_type_lists_and_counts(filled):  # DDOC-108
    (row,) = await filled.view("medic-client", "contacts_by_type", key=["clinic"], reduce=False)
    counts = await filled.view("medic-client", "contacts_by_type", group=True)

    assert (row["id"], row["value"]) == ("c1", "false true 2 odera")
    assert [(count["key"], count["value"]) for count in counts] == [
        (["clinic"], 1),
        (["health_center"], 1),
        (["person"], 1),
    ]


async def test_reports_by_form_counts_and_samples(filled):  # DDOC-109
    counts = await filled.view("medic-client", "reports_by_form", group=True)
    sample = await filled.view("medic-client", "reports_by_form", key=["V"], limit=1, include_docs=True, reduce=False)

    assert [(count["key"], count["value"]) for count in counts] == [(["V"], 2), (["W"], 1)]
    assert [row["doc"]["_id"] for row in sample] == ["r1"]


async def test_message_queue_counts_per_group(filled):  # DDOC-110
    totals = await filled.view("medic-admin", "message_queue", reduce=True, group_level=1)
    recent = await filled.view("medic-admin", "message_queue", startkey=["due", 450], endkey=["due", 550], reduce=True)

    assert {row["key"][0]: row["value"] for row in totals} == {"due": 3, "delivered": 1, "failed": 1, "scheduled": 1}
    assert [row["value"] for row in recent] == [1]


async def test_messages_by_last_updated_state_newest_first(filled):  # DDOC-111
    rows = await filled.view(
        "medic-sms",
        "messages_by_last_updated_state",
        descending=True,
        startkey=["final", 10_000],
        endkey=["final", 0],
        limit=100,
    )

    assert sorted(row["key"][2] for row in rows) == ["failed", "sent"]


async def test_messages_by_contact_date_shows_conversations_and_one_of_them(filled):  # DDOC-112
    (conversation,) = await filled.view("medic-client", "messages_by_contact_date", group_level=1)
    messages = await filled.view(
        "medic-client",
        "messages_by_contact_date",
        reduce=False,
        startkey=["p1", {}],
        endkey=["p1"],
        descending=True,
        include_docs=True,
    )

    assert conversation["key"] == ["p1"]
    assert conversation["value"] == {"id": "m2", "date": 450, "contact": SUBMITTER}
    assert [row["doc"]["_id"] for row in messages] == ["m2", "m1"]


async def test_contacts_by_last_visited_gives_the_last_visit(filled):  # DDOC-113
    rows = await filled.view("medic-client", "contacts_by_last_visited", group=True)

    assert {row["key"]: row["value"]["max"] for row in rows} == {"c1": 200, "h1": 0, "p1": 0}


async def test_contacts_by_parent_by_type_and_all(filled):  # DDOC-114
    assert ids(await filled.view("medic-client", "contacts_by_parent", key=["h1", "clinic"])) == ["c1"]
    assert ids(await filled.view("medic-client", "contacts_by_parent", startkey=["c1"], endkey=["c1", {}])) == ["p1"]


async def test_filters_of_the_report_list(filled):  # DDOC-115
    newest = await filled.view("medic-client", "reports_by_date", descending=True, limit=2)

    assert ids(newest) == ["r3", "r2"]
    assert ids(await filled.view("medic-client", "reports_by_validity", key=[False])) == ["r2"]
    assert ids(await filled.view("medic-client", "reports_by_verification", key=[None])) == ["r2", "r3"]
    assert ids(await filled.view("medic-client", "reports_by_place", key=["h1"])) == ["r1", "r2", "r3"]


async def test_data_records_by_type_counts(filled):  # DDOC-116
    rows = await filled.view("medic-client", "data_records_by_type", group=True)

    assert {row["key"]: row["value"] for row in rows} == {"report": 3, "message": 2}


async def test_visits_by_date_by_time_and_by_contact(filled):  # DDOC-117
    by_time = await filled.view("medic-client", "visits_by_date", startkey=150, endkey=250)
    by_contact = await filled.view("medic-client", "visits_by_date", startkey=["c1", 0], endkey=["c1", 150])

    assert [row["value"] for row in by_time] == ["c1"]
    assert [row["key"] for row in by_contact] == [["c1", 100]]


async def test_users_by_field(couch, make_user):  # DDOC-119
    await make_user("asha", roles=["chw"], facility_id=["h-one", "h-two"], contact_id="p-asha")

    for key in (["facility_id", "h-two"], ["contact_id", "p-asha"]):
        rows = await couch.db("_users").view("users", "users_by_field", key=key, include_docs=True)
        assert [row["doc"]["contact_id"] for row in rows] == ["p-asha"]


async def test_doc_by_type_lists_forms(filled):  # DDOC-27, CONF-15
    assert ids(await filled.view("medic-client", "doc_by_type", key=["form"])) == ["form:v"]


async def test_conflicts_counts_documents_with_losing_leaves(filled):  # DDOC-46
    for digest in ("a", "b"):
        revisions = {"start": 2, "ids": [digest * 32, "c" * 32]}
        doc = {"_id": "twice", "_rev": f"2-{digest * 32}", "_revisions": revisions}
        await filled.bulk_docs([doc], new_edits=False)

    rows = await filled.view("medic-conflicts", "conflicts", reduce=False)

    assert [(row["id"], row["key"]) for row in rows] == [("twice", [f"2-{'a' * 32}"])]
    assert [row["value"] for row in await filled.view("medic-conflicts", "conflicts")] == [1]


async def test_every_installed_view_answers(couch: Couch, config):  # DDOC-1
    databases = {"medic": config.database, "users": "_users"}
    for role, ddocs in load_bundle().items():
        if role == "user-meta":
            continue
        db = couch.db(databases.get(role) or config.db_name(role))
        assert await install(db, ddocs) == []
        for ddoc in ddocs:
            for view in ddoc["views"]:
                assert isinstance(await db.view(ddoc["_id"].removeprefix("_design/"), view, limit=1), list)


async def test_the_server_enforces_the_write_rules(filled, couch):  # VDU-1, X4
    (row,) = await filled.bulk_docs([{"_id": "x", "purged": True}])

    assert row["error"] == "forbidden"
    assert row["reason"] == "Purged documents should not be written to CouchDB!"


async def test_a_user_edits_the_own_place_but_not_the_settings(filled, make_user):  # X4, PROXY-43
    mary = await make_user("mary", roles=["chw"], facility_id="h1")
    place, settings = await filled.get("h1"), await filled.get("settings")

    assert (await filled.request("PUT", "/h1", body={**place, "name": "New"}, headers=mary))["ok"]
    with pytest.raises(Forbidden, match="You are not authorized to edit admin only docs"):
        await filled.request("PUT", "/settings", body=settings, headers=mary)


async def test_a_personal_database_counts_what_was_read(couch, config):  # DDOC-60
    db = couch.db(f"{config.database}-user-mary-meta")
    await db.create()
    await install(db, load_bundle()["user-meta"])
    await db.bulk_docs([{"_id": "read:report:r1"}, {"_id": "read:report:r2"}, {"_id": "read:message:m1"}])

    rows = await db.view("medic-user", "read", group=True)

    assert {row["key"]: row["value"] for row in rows} == {"message": 1, "report": 2}


async def test_the_legacy_views_answer(filled):  # DDOC-88
    legacy = [ddoc for ddoc in load_bundle(legacy=True)["medic"] if ddoc["_id"] == "_design/medic-client"]
    assert await install(filled, legacy) == ["_design/medic-client"]

    assert ids(await filled.view("medic-client", "contacts_by_freetext", startkey=["am"], endkey=["am\ufff0"])) == [
        "p1"
    ]
    assert ids(await filled.view("medic-client", "contacts_by_type_freetext", key=["clinic", "odera"])) == ["c1"]
    assert ids(await filled.view("medic-client", "reports_by_freetext", key=["form:w"])) == ["r3"]
    lineage = await filled.view(
        "medic-client", "docs_by_id_lineage", startkey=["p1"], endkey=["p1", {}], include_docs=True
    )
    assert [row["doc"]["name"] for row in lineage] == ["Ama", "Odera", "Kanga"]
