"""A process may die before or after any of its requests: what comes after ends as if it had not (TRN-10, design §5)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from core.couch.client import Couch, Database, Doc
from core.settings import Settings
from core.translations import load_translations
from sentinel.processor import Processor
from sentinel.schedule.due_messages import send_due
from sentinel.transitions import save_new
from tests.sentinel.conftest import SETTINGS, Deployment, texts

Preg = Callable[..., Doc]

MOST_REQUESTS = 60


class Dead(asyncio.CancelledError):
    """The process is gone."""


class Mortal:
    """Dies at its n-th request: before it is sent, or after CouchDB has done it but before the answer is read."""

    def __init__(self, couch: Couch, dies_at: int, *, answered: bool) -> None:
        self.couch, self.dies_at, self.answered = couch, dies_at, answered
        self.requests = 0

    def db(self, name: str) -> Database:
        mortal = self

        class MortalDatabase(Database):
            async def request(self, method: str, path: str = "", **options: Any) -> Any:
                mortal.requests += 1
                if mortal.requests > mortal.dies_at or (mortal.requests == mortal.dies_at and not mortal.answered):
                    raise Dead
                answer = await super().request(method, path, **options)
                if mortal.requests == mortal.dies_at:
                    raise Dead
                return answer

        class Server(Couch):
            def __init__(self, living: Couch) -> None:
                vars(self).update(vars(living))  # the same connections

            def db(self, name: str) -> Database:
                return MortalDatabase(self, name)

        return MortalDatabase(Server(self.couch), name)


async def survives(deployment: Deployment, dies_at: int, *, answered: bool) -> bool:
    """Process what is new by a worker that dies at its n-th request; False when it did."""
    mortal = Mortal(deployment.db.couch, dies_at, answered=answered)
    processor = Processor(
        mortal.db(deployment.db.name),
        mortal.db(deployment.sentinel_db.name),
        deployment.retries,
        now=deployment.clock,
    )
    try:
        await deployment.process(processor=processor)
    except asyncio.CancelledError:
        return False
    return True


async def check_registered(deployment: Deployment, ids: list[str]) -> None:
    """Each report has one person with its code, one reply about it, two scheduled messages, and its infodoc."""
    reports = await deployment.db.get_many(ids)
    rows = await deployment.db.all_docs(include_docs=True)
    created = [row["doc"] for row in rows if row["doc"].get("source_id") in reports]
    assert sorted(person["source_id"] for person in created) == sorted(ids)
    for person in created:
        report = reports[person["source_id"]]
        assert person["patient_id"] == report["patient_id"]
        assert texts(report) == [f"Registered {person['name']} as {person['patient_id']}"]
        assert len(report["scheduled_tasks"]) == 2
        assert report["errors"] == []
        info = await deployment.info(report["_id"])
        assert "transitions_started" not in info
        assert "registration" in info["transitions"]


@pytest.mark.parametrize("answered", [False, True], ids=["before", "after"])
async def test_worker_dies_at_every_request(deployment: Deployment, preg: Preg, answered: bool) -> None:
    for dies_at in range(1, MOST_REQUESTS):
        ids = [f"r{dies_at}-{number}" for number in range(3)]
        await deployment.store(*(preg(doc_id, name=f"N {doc_id}") for doc_id in ids))
        survived = await survives(deployment, dies_at, answered=answered)
        deployment.clock.move(minutes=5)
        await deployment.process()
        await check_registered(deployment, ids)
        if survived:
            assert dies_at > 5
            return
    raise AssertionError("the batch never came to its end")


@pytest.mark.parametrize("answered", [False, True], ids=["before", "after"])
async def test_api_dies_at_every_request(deployment: Deployment, preg: Preg, answered: bool) -> None:
    settings, translations = Settings(SETTINGS), await load_translations(deployment.db)

    async def save(docs: list[Doc], db: Database, sentinel_db: Database) -> None:
        await save_new(
            docs,
            db=db,
            sentinel_db=sentinel_db,
            settings=settings,
            translations=translations,
            now=deployment.clock,
            duplicates=deployment.duplicates,
        )

    for dies_at in range(1, MOST_REQUESTS):
        ids = [f"a{dies_at}-{number}" for number in range(3)]
        docs = [preg(doc_id, name=f"N {doc_id}", reported_date=deployment.clock.ms) for doc_id in ids]
        mortal = Mortal(deployment.db.couch, dies_at, answered=answered)
        try:
            await save(docs, mortal.db(deployment.db.name), mortal.db(deployment.sentinel_db.name))
            survived = True
        except asyncio.CancelledError:
            survived = False
        # The gateway sends the same messages again; later the worker sees what the API left undone.
        await save(docs, deployment.db, deployment.sentinel_db)
        deployment.clock.move(minutes=5)
        await deployment.process()
        await check_registered(deployment, ids)
        if survived:
            assert dies_at > 5
            return
    raise AssertionError("the documents never were stored")


@pytest.mark.parametrize("answered", [False, True], ids=["before", "after"])
async def test_due_job_dies_at_every_request(deployment: Deployment, preg: Preg, answered: bool) -> None:
    await deployment.processed(preg("r1"))
    deployment.clock.move(weeks=8, hours=1)
    for dies_at in range(1, MOST_REQUESTS):
        mortal = Mortal(deployment.db.couch, dies_at, answered=answered)
        try:
            await send_due(mortal.db(deployment.db.name), (await deployment.transitions()).tools)
            break
        except asyncio.CancelledError:
            continue

    first, second = (await deployment.db.get("r1"))["scheduled_tasks"]
    assert [entry["state"] for entry in first["state_history"]] == ["scheduled", "pending"]
    assert second["state"] == "scheduled"
    assert 2 < dies_at < MOST_REQUESTS


@pytest.mark.parametrize("answered", [False, True], ids=["before", "after"])
async def test_worker_dies_at_every_request_of_taking_a_death_back(deployment: Deployment, answered: bool) -> None:
    """TR-DEATH-3, INF-4: the patient lives again, and the report is done with: it never undoes a later death."""
    section = {"mark_deceased_forms": ["FORM"], "undo_deceased_forms": ["PUB"]}
    await deployment.configure(transitions={"death_reporting": True}, death_reporting=section)
    await deployment.process()
    for dies_at in range(1, MOST_REQUESTS):
        await deployment.db.update("mum", lambda doc: {**(doc or {}), "date_of_death": "2031-11-01"})
        await deployment.process()
        report = {"_id": f"u{dies_at}", "type": "data_record", "form": "PUB", "fields": {"patient_uuid": "mum"}}
        await deployment.store(report)
        survived = await survives(deployment, dies_at, answered=answered)
        await deployment.process()

        assert "date_of_death" not in await deployment.db.get("mum")
        info = await deployment.info(f"u{dies_at}")
        assert info["transitions"]["death_reporting"]["ok"]
        assert info["undone_death"] == {"patient": "mum", "date_of_death": "2031-11-01"}
        if survived:
            assert dies_at > 5
            return
    raise AssertionError("the batch never came to its end")


async def test_same_messages_in_parallel_posts_and_a_worker_at_once(deployment: Deployment, preg: Preg) -> None:
    """SMS-18: two API processes get the same messages at the same moment, while the worker follows the feed."""
    translations = await load_translations(deployment.db)
    ids = [f"p{number}" for number in range(10)]
    docs = [preg(doc_id, name=f"N {doc_id}", reported_date=deployment.clock.ms) for doc_id in ids]

    async def save() -> list[Doc]:
        return await save_new(
            docs,
            db=deployment.db,
            sentinel_db=deployment.sentinel_db,
            settings=Settings(SETTINGS),
            translations=translations,
            now=deployment.clock,
        )

    async def work() -> None:
        for _ in range(10):
            await deployment.process()
            await asyncio.sleep(0)

    first, second, _ = await asyncio.gather(save(), save(), work())
    deployment.clock.move(minutes=5)
    await deployment.process()
    await deployment.processor().retry(await deployment.transitions())

    assert {row.get("error") for row in (*first, *second)} <= {None, "conflict"}
    await check_registered(deployment, ids)
