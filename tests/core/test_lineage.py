"""Hydrating and minifying documents (35 §8, 40 §3)."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from core.couch.client import Database, Doc
from core.errors import InvalidInput
from core.hydration import hydrate
from core.lineage import minify, nearest
from tests.core.counting import CountingDatabase

BUSIA: Doc = {"_id": "d-busia", "type": "district_hospital", "name": "Busia"}
KANGA: Doc = {
    "_id": "hc-kanga",
    "type": "health_center",
    "name": "Kanga",
    "place_id": "70001",
    "parent": {"_id": "d-busia"},
    "contact": {"_id": "p-asha", "parent": {"_id": "hc-kanga", "parent": {"_id": "d-busia"}}},
}
ODERA: Doc = {
    "_id": "c-odera",
    "type": "clinic",
    "name": "Odera",
    "parent": {"_id": "hc-kanga", "parent": {"_id": "d-busia"}},
    "contact": {"_id": "p-mary", "parent": {"_id": "c-odera"}},
}
ASHA: Doc = {
    "_id": "p-asha",
    "type": "person",
    "name": "Asha",
    "phone": "+254711000111",
    "parent": {"_id": "hc-kanga", "parent": {"_id": "d-busia"}},
}
MARY: Doc = {"_id": "p-mary", "type": "person", "name": "Mary", "parent": {"_id": "c-odera"}}
NEEMA: Doc = {
    "_id": "p-neema",
    "type": "contact",
    "contact_type": "patient",
    "name": "Neema",
    "patient_id": "60001",
    "parent": {"_id": "c-odera", "parent": {"_id": "hc-kanga", "parent": {"_id": "d-busia"}}},
    "linked_docs": {"mother": "p-mary", "gone": "p-gone"},
}
CONTACTS = [BUSIA, KANGA, ODERA, ASHA, MARY, NEEMA]


def report(**members: Any) -> Doc:
    contact = {"_id": "p-asha", "parent": {"_id": "hc-kanga", "parent": {"_id": "d-busia"}}}
    return {"_id": "r-1", "type": "data_record", "form": "ANCV", "fields": {}, "contact": contact, **members}


@pytest.fixture
async def contacts(db: Database) -> Database:
    await db.bulk_docs(CONTACTS)
    return db


async def hydrated(db: Database, doc: Doc) -> Doc:
    return (await hydrate(db, [doc]))[0]


async def test_a_contact_gets_its_ancestors_in_full(contacts: Database) -> None:
    neema = await hydrated(contacts, NEEMA)  # MOD-42, HYD-1

    assert neema["parent"]["name"] == "Odera"
    assert neema["parent"]["parent"]["name"] == "Kanga"
    assert neema["parent"]["parent"]["parent"]["name"] == "Busia"
    assert neema["parent"]["contact"]["name"] == "Mary"
    assert neema["parent"]["contact"]["parent"] == {"_id": "c-odera"}
    assert neema["linked_docs"]["mother"]["name"] == "Mary"
    assert neema["linked_docs"]["gone"] == "p-gone"


@pytest.mark.parametrize(
    "doc", [*CONTACTS, report(), report(fields={"patient_id": "60001"})], ids=lambda doc: doc["_id"]
)
async def test_hydrate_then_minify_returns_the_original(contacts: Database, doc: Doc) -> None:
    original = deepcopy(doc)

    assert minify(await hydrated(contacts, doc)) == original  # 35 §16, 2
    assert doc == original


@pytest.mark.parametrize(
    "fields", [{"patient_id": "60001"}, {"patient_id": 60001}, {"patient_uuid": "p-neema"}, {"patient_id": "p-neema"}]
)
async def test_a_report_gets_its_submitter_and_patient(contacts: Database, fields: Doc) -> None:
    doc = await hydrated(contacts, report(fields=fields))  # MOD-43, HYD-2, HYD-3

    assert doc["contact"]["phone"] == "+254711000111"
    assert doc["contact"]["parent"]["contact"]["name"] == "Asha"
    assert doc["patient"]["name"] == "Neema"
    assert doc["patient"]["parent"]["parent"]["name"] == "Kanga"
    assert doc["patient"]["parent"]["contact"]["name"] == "Mary"


async def test_a_report_gets_its_place(contacts: Database) -> None:
    doc = await hydrated(contacts, report(place_id="70001"))  # MOD-43

    assert doc["place"]["name"] == "Kanga"
    assert doc["place"]["parent"]["name"] == "Busia"


async def test_an_unknown_subject_is_absent(contacts: Database) -> None:
    doc = await hydrated(contacts, report(fields={"patient_id": "99999"}))

    assert "patient" not in doc  # MOD-43


async def test_a_subject_must_be_a_contact(contacts: Database) -> None:
    await contacts.put({"_id": "12345", "type": "data_record"})

    assert "patient" not in await hydrated(contacts, report(fields={"patient_id": "12345"}))


async def test_an_id_may_look_like_a_shortcode(contacts: Database) -> None:
    await contacts.put({**NEEMA, "_id": "60009", "name": "Amina", "patient_id": None})

    doc = await hydrated(contacts, report(fields={"patient_id": "60009"}))

    assert (doc["patient"]["name"], doc["patient"]["parent"]["name"]) == ("Amina", "Odera")  # HYD-3


async def test_a_shared_shortcode_means_the_lowest_id(contacts: Database) -> None:
    await contacts.put({"_id": "a-first", "type": "person", "patient_id": "60001"})

    doc = await hydrated(contacts, report(fields={"patient_id": "60001"}))

    assert doc["patient"]["_id"] == "a-first"  # HYD-4, MOD-54


async def test_a_free_message_gets_its_submitter(contacts: Database) -> None:
    message = report()
    del message["form"]

    assert (await hydrated(contacts, message))["contact"]["name"] == "Asha"  # MOD-44


async def test_a_missing_ancestor_stays_an_id(contacts: Database) -> None:
    lost = {"_id": "p-lost", "type": "person", "parent": {"_id": "c-gone", "parent": {"_id": "hc-kanga"}}}

    doc = await hydrated(contacts, lost)

    assert doc["parent"]["parent"]["name"] == "Kanga"  # HYD-1
    assert (doc["parent"]["_id"], set(doc["parent"])) == ("c-gone", {"_id", "parent"})


async def test_a_primary_contact_may_be_a_bare_id(contacts: Database) -> None:
    clinic = {**ODERA, "_id": "c-bare", "contact": "p-mary"}

    assert (await hydrated(contacts, clinic))["contact"]["name"] == "Mary"  # MOD-21


async def test_a_submitter_known_by_its_place_alone(contacts: Database) -> None:
    doc = await hydrated(contacts, report(contact={"parent": {"_id": "hc-kanga", "parent": {"_id": "d-busia"}}}))

    assert doc["contact"]["parent"]["name"] == "Kanga"
    assert minify(doc)["contact"] == {"parent": {"_id": "hc-kanga", "parent": {"_id": "d-busia"}}}


async def test_a_cycle_ends_where_an_id_repeats(contacts: Database) -> None:
    loop = {"_id": "p-loop", "type": "person", "parent": {"_id": "c-odera", "parent": {"_id": "p-loop", "parent": {}}}}

    doc = await hydrated(contacts, loop)

    assert doc["parent"]["name"] == "Odera"  # MOD-45
    assert nearest(doc, "district_hospital") is None


async def test_other_documents_pass_through(contacts: Database) -> None:
    task = {"_id": "task~1", "type": "task", "owner": "p-neema", "parent": {"_id": "x", "name": "y"}}

    assert await hydrate(contacts, [task]) == [task]  # HYD-6, MOD-44
    assert minify(task) == task


async def test_a_list_hydrates_as_its_members_do(contacts: Database) -> None:
    docs = [NEEMA, report(fields={"patient_id": "60001"}), ODERA, report(place_id="70001"), {"_id": "x"}]

    together = await hydrate(contacts, docs)

    assert together == [await hydrated(contacts, doc) for doc in docs]  # MOD-44


async def test_any_number_of_documents_needs_the_same_few_reads(contacts: Database) -> None:
    counting = CountingDatabase(contacts)
    docs = [report(_id=f"r-{n}", fields={"patient_id": "60001"}) for n in range(50)]
    docs += [report(_id=f"s-{n}", fields={"patient_uuid": "p-neema"}) for n in range(50)]

    await hydrate(counting, [*docs, *CONTACTS])

    assert counting.paths.count("/_bulk_get") <= 3  # MOD-46
    assert len(counting.paths) <= 4


async def test_a_hydrated_subject_belongs_to_its_document_alone(contacts: Database) -> None:
    first, second = await hydrate(
        contacts, [report(fields={"patient_id": "60001"}), report(fields={"patient_id": "60001"})]
    )

    first["patient"]["parent"]["name"] = "changed"

    assert second["patient"]["parent"]["name"] == "Odera"


def test_a_chain_of_more_than_fifty_places_is_refused() -> None:
    parent: Doc = {"_id": "0"}
    for n in range(1, 51):
        parent = {"_id": str(n), "parent": parent}

    with pytest.raises(InvalidInput, match="50"):  # MOD-40, HYD-5
        minify({"_id": "p", "type": "person", "parent": parent})


def test_minify_stops_at_the_first_place_without_id() -> None:
    parent = {"_id": "a", "name": "A", "parent": {"name": "no id", "parent": {"_id": "b"}}}

    assert minify({"_id": "p", "type": "person", "parent": parent})["parent"] == {"_id": "a"}  # MOD-40


def test_minify_keeps_unknown_members() -> None:
    doc = {"_id": "p", "type": "person", "parent": "", "contact": "x", "a": {"b": {"c": {"d": {"e": 1}}}}}

    assert minify(doc) == doc  # 35 §16, 1
