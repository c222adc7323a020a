"""Changes that fail are kept and tried again, and nothing else is held up by them (40 SEN-12, SEN-14)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import orjson
import pytest

from core.couch.client import Database, Doc, Row
from core.errors import Unavailable
from tests.sentinel.conftest import Clock, Deployment

Preg = Callable[..., Doc]


class Refusing(Database):
    """Refuses to store some documents."""

    refused: tuple[str, ...] = ()

    async def bulk_docs(self, docs: Sequence[Doc], *, new_edits: bool = True) -> list[Row]:
        kept = [doc for doc in docs if doc["_id"] not in self.refused]
        rows = {row["id"]: row for row in await super().bulk_docs(kept, new_edits=new_edits)}
        return [rows.get(doc["_id"], {"id": doc["_id"], "error": "forbidden", "reason": "no"}) for doc in docs]


async def test_failed_change_is_queued_and_the_rest_goes_on(  # SEN-14
    deployment: Deployment, preg: Preg, clock: Clock
) -> None:
    db = Refusing(deployment.db.couch, deployment.db.name)
    db.refused = ("r1",)
    await deployment.store(preg("r1"), preg("r2", name="Bina"))
    await deployment.process(processor=deployment.processor(db))

    stored = await deployment.sentinel_db.get("task:transition:r1")
    assert (stored["attempts"], stored["state"], stored["error"]) == (1, "waiting", "Forbidden: no")
    assert stored["next_attempt"] == clock.ms + 10_000
    assert (await deployment.db.get("r2"))["patient_id"]

    clock.move(seconds=11)
    await deployment.processor().retry(await deployment.transitions())

    assert (await deployment.db.get("r1"))["patient_id"]
    assert await deployment.sentinel_db.find("task:transition:r1") is None


async def test_sixth_failure_is_the_last_and_stays_visible(  # SEN-13, SEN-14
    deployment: Deployment, preg: Preg, clock: Clock
) -> None:
    db = Refusing(deployment.db.couch, deployment.db.name)
    db.refused = ("r1",)
    await deployment.store(preg("r1"))
    await deployment.process(processor=deployment.processor(db))
    waits = []
    while deployment.retries.waiting:
        waits.append(round((deployment.retries.waiting["r1"] - clock.ms) / 1000))
        clock.move(seconds=waits[-1])
        await deployment.processor(db).retry(await deployment.transitions())

    assert waits == [10, 40, 160, 640, 2560]
    assert (await deployment.sentinel_db.get("task:transition:r1"))["state"] == "failed"
    assert deployment.retries.failed == {"r1"}


async def test_newer_change_settles_an_old_failure(deployment: Deployment, preg: Preg) -> None:  # SEN-14
    db = Refusing(deployment.db.couch, deployment.db.name)
    db.refused = ("r1",)
    await deployment.store(preg("r1"))
    await deployment.process(processor=deployment.processor(db))
    await deployment.processed({**await deployment.db.get("r1"), "edited": True})

    assert await deployment.sentinel_db.find("task:transition:r1") is None


async def test_deletion_settles_a_failure(deployment: Deployment, preg: Preg) -> None:  # SEN-11, SEN-14
    db = Refusing(deployment.db.couch, deployment.db.name)
    db.refused = ("r1",)
    await deployment.store(preg("r1"))
    await deployment.process(processor=deployment.processor(db))
    await deployment.db.delete("r1", (await deployment.db.get("r1"))["_rev"])
    await deployment.process()

    assert await deployment.sentinel_db.find("task:transition:r1") is None
    assert deployment.retries.waiting == {}


async def test_retries_are_found_again_after_a_restart(deployment: Deployment, preg: Preg) -> None:  # SEN-14
    db = Refusing(deployment.db.couch, deployment.db.name)
    db.refused = ("r1",)
    await deployment.store(preg("r1"))
    await deployment.process(processor=deployment.processor(db))
    known = dict(deployment.retries.waiting)
    await deployment.retries.load()

    assert deployment.retries.waiting == known != {}


async def test_clock_that_was_ahead_does_not_put_retries_off(deployment: Deployment, preg: Preg, clock: Clock) -> None:
    db = Refusing(deployment.db.couch, deployment.db.name)
    db.refused = ("r1",)
    await deployment.store(preg("r1"))
    clock.move(days=300)
    await deployment.process(processor=deployment.processor(db))
    clock.move(days=-300)

    assert deployment.retries.due(1) == ["r1"]  # SEN-14


async def test_outage_repeats_the_batch_instead_of_failing_its_changes(  # SEN-12
    deployment: Deployment, preg: Preg
) -> None:
    class Away(Database):
        async def view(self, ddoc: str, view: str, **params: Any) -> list[Row]:
            raise Unavailable("CouchDB cannot be reached")

    await deployment.store(preg("r1"))
    with pytest.raises(Unavailable):
        await deployment.process(processor=deployment.processor(Away(deployment.db.couch, deployment.db.name)))

    assert deployment.retries.waiting == {}
    await deployment.process()
    assert (await deployment.db.get("r1"))["patient_id"]


async def test_poisoned_document_fails_alone(deployment: Deployment, preg: Preg) -> None:  # SEN-14
    chain: Doc = {"_id": "top"}
    for level in range(60):
        chain = {"_id": f"level{level}", "parent": chain}
    await deployment.store(
        preg("odd", contact={"_id": "nobody", "parent": chain}, content_type="xml"),
        preg("good", name="Bina"),
        {"_id": "list", "type": "data_record", "form": ["?"], "fields": [1], "tasks": 5, "contact": 7, "errors": "no"},
    )
    await deployment.process()

    assert (await deployment.db.get("good"))["patient_id"]
    assert await deployment.info("list")
    assert list(deployment.retries.waiting) == ["odd"]


async def test_document_that_cannot_be_read_fails_alone(deployment: Deployment, preg: Preg) -> None:  # SEN-14
    class Unreadable(Database):
        async def get_many(self, ids: Iterable[str]) -> dict[str, Doc]:
            wanted = list(ids)
            if "deep" in wanted:
                raise orjson.JSONDecodeError("depth limit exceeded", "", 0)
            return await super().get_many(wanted)

    await deployment.store(preg("r1"), preg("deep"), preg("r2"))
    await deployment.process(processor=deployment.processor(Unreadable(deployment.db.couch, deployment.db.name)))

    assert list(deployment.retries.waiting) == ["deep"]
    assert "depth limit exceeded" in (await deployment.sentinel_db.get("task:transition:deep"))["error"]
    docs = await deployment.db.get_many(["r1", "r2"])
    assert all(doc["patient_id"] for doc in docs.values())


async def test_what_nobody_foresaw_fails_alone(deployment: Deployment, preg: Preg) -> None:  # SEN-14
    class Odd(Database):
        """Breaks on one document, as a bug of ours would."""

        async def bulk_docs(self, docs: Sequence[Doc], *, new_edits: bool = True) -> list[Row]:
            if any(doc["_id"] == "r1" for doc in docs):
                raise ZeroDivisionError
            return await super().bulk_docs(docs, new_edits=new_edits)

    await deployment.store(preg("r1"), preg("r2", name="Bina"))
    await deployment.process(processor=deployment.processor(Odd(deployment.db.couch, deployment.db.name)))

    assert (await deployment.db.get("r2"))["patient_id"]
    assert list(deployment.retries.waiting) == ["r1"]
