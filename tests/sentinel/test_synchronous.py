"""The door of the API: new documents go through the synchronous transitions before they are stored (TRN-11, TRN-12)."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import UTC
from typing import Any

import pytest

from core.couch.client import Database, Doc, Row
from core.settings import Settings
from core.translations import load_translations
from sentinel.transitions import save_new
from tests.sentinel.conftest import Clock, Deployment, codes, texts

Preg = Callable[..., Doc]


async def save(deployment: Deployment, *docs: Doc, db: Database | None = None, **settings: Any) -> list[Row]:
    values = Settings.from_doc(await deployment.db.get("settings")).values
    return await save_new(
        list(docs),
        db=db or deployment.db,
        sentinel_db=deployment.sentinel_db,
        settings=Settings({**values, **settings}),
        translations=await load_translations(deployment.db),
        now=deployment.clock,
        duplicates=deployment.duplicates,
    )


async def test_reply_and_short_id_are_there_at_once(deployment: Deployment, preg: Preg) -> None:  # TRN-11
    [row] = await save(deployment, preg("r1"))

    report = await deployment.db.get("r1")
    assert row["ok"]
    assert row["rev"] == report["_rev"]
    assert report["_rev"].startswith("1-")
    assert texts(report) == [f"Registered Asha as {report['patient_id']}"]
    assert len(await deployment.created_by("r1")) == 1


async def test_missing_ids_are_assigned(deployment: Deployment, preg: Preg) -> None:  # TRN-12
    doc = preg("x")
    del doc["_id"]
    first, second = await save(deployment, doc, dict(doc))

    assert first["id"] != second["id"]
    assert first["id"][14] == "7"


async def test_worker_does_nothing_again(deployment: Deployment, preg: Preg) -> None:  # TRN-6, INF-6
    await save(deployment, preg("r1"))
    before = await deployment.db.get("r1")
    await deployment.process()

    info = await deployment.info("r1")
    assert await deployment.db.get("r1") == before
    assert "transitions_started" not in info
    assert info["transitions"]["registration"]["seq"] is None
    assert info["initial_replication_date"] == deployment.clock.ms  # INF-3


async def test_document_nothing_changed_is_stored_as_given(deployment: Deployment) -> None:  # TRN-12
    given = {"_id": "x1", "type": "other", "parent": {"_id": "c1", "name": "kept"}}
    await save(deployment, given)

    stored = await deployment.db.get("x1")
    assert {name: stored[name] for name in given} == given


async def test_wrong_settings_store_the_documents_unprocessed(deployment: Deployment, preg: Preg) -> None:  # TRN-11
    [row] = await save(deployment, preg("r1"), transitions={"no such": True})
    assert row["ok"]
    assert "patient_id" not in await deployment.db.get("r1")

    await deployment.process()
    assert (await deployment.db.get("r1"))["patient_id"]


async def test_one_conflict_does_not_disturb_the_others(deployment: Deployment, preg: Preg) -> None:  # TRN-12
    await deployment.store(preg("r1"))
    taken, fine = await save(deployment, preg("r1"), preg("r2", name="Bina"))

    assert taken["error"] == "conflict"
    assert fine["ok"]
    assert "transitions_started" not in await deployment.info("r1")
    await deployment.process()
    assert len(await deployment.created_by("r1")) == 1


async def test_asynchronous_transitions_wait_for_the_worker(deployment: Deployment) -> None:  # TRN-11
    await save(
        deployment,
        {"_id": "p1", "type": "person", "parent": {"_id": "c1"}},
        transitions={"generate_shortcode_on_contacts": True},
    )

    assert "patient_id" not in await deployment.db.get("p1")


async def test_person_made_by_another_process_meanwhile_is_taken_over(  # TRN-10
    deployment: Deployment, preg: Preg
) -> None:
    class Racing(Database):
        """The other process stores its person just before ours."""

        raced = False

        async def bulk_docs(self, docs: Sequence[Doc], *, new_edits: bool = True) -> list[Row]:
            persons = [doc for doc in docs if doc.get("source_id") == "r1"]
            if persons and not self.raced:
                self.raced = True
                await deployment.db.put({**persons[0], "patient_id": "99999"})
            return await super().bulk_docs(docs, new_edits=new_edits)

    [row] = await save(deployment, preg("r1"), db=Racing(deployment.db.couch, deployment.db.name))

    report = await deployment.db.get("r1")
    assert row["ok"]
    assert report["patient_id"] == "99999"
    assert texts(report) == ["Registered Asha as 99999"]


@pytest.mark.parametrize("sender", ["+254799999999", "12345"])
async def test_unknown_sender_is_answered_or_denied(deployment: Deployment, preg: Preg, sender: str) -> None:
    await save(deployment, preg("r1", sender=sender), outgoing_deny_shorter_than=6)

    report = await deployment.db.get("r1")
    assert codes(report) == ["sys.facility_not_found"]
    assert report["tasks"][0]["state"] == ("denied" if sender == "12345" else "pending")


async def test_ten_messages_take_as_many_calls_as_one(deployment: Deployment, preg: Preg) -> None:  # issue A
    class Counting(Database):
        calls = 0

        async def request(self, method: str, path: str = "", **options: Any) -> Any:
            self.calls += 1
            return await super().request(method, path, **options)

    counts = []
    for batch, size in enumerate((1, 1, 10)):  # the sender's number is indexed from the second time on
        db = Counting(deployment.db.couch, deployment.db.name)
        rows = await save(deployment, *(preg(f"b{batch}-{n}", name=f"N{batch}{n}") for n in range(size)), db=db)
        assert all("ok" in row for row in rows)
        counts.append(db.calls)

    assert counts[1] == counts[2]


async def test_days_are_those_of_the_servers_timezone(  # 40, head
    deployment: Deployment, preg: Preg, monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    monkeypatch.setenv("TZ", "Africa/Nairobi")
    time.tzset()
    event = {"name": "on_create", "trigger": "add_birth_date"}
    clock.moment = clock.moment.astimezone(UTC)
    await save(deployment, preg("r1", reported_date=clock.ms), registrations=[{"form": "PREG", "events": [event]}])
    monkeypatch.undo()
    time.tzset()

    assert (await deployment.db.get("r1"))["birth_date"].endswith("T21:00:00.000Z")


async def test_nothing_to_save(deployment: Deployment) -> None:
    assert await save(deployment) == []
