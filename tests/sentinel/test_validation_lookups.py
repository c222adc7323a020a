"""What the validations `unique`, `uniqueWithin` and `exists` find in the database (40 VAL-8, VAL-9)."""

from __future__ import annotations

from typing import Any

import pytest

from core.couch.client import Database, Doc
from core.settings import Settings
from sentinel.transitions.lookups import Lookups

LONG = "x" * 150


def report(doc_id: str, form: str = "PREG", **members: Any) -> Doc:
    return {"_id": doc_id, "type": "data_record", "form": form, "reported_date": 1000, **members}


@pytest.fixture
async def lookups(db: Database) -> Lookups:
    docs = [
        report("r1", fields={"code": "AB1", "village": "North"}),
        report("r2", fields={"code": "ab1", "village": "South"}, reported_date=2000),
        report("wrong", fields={"code": "AB1"}, errors=[{"code": "x", "message": "x"}]),
        report("other", form="VISIT", fields={"code": "AB1"}),
        report("long", fields={"code": LONG + "1"}),
        report("short", fields={"code": "a"}),
        report("number", patient_id=12345, fields={}),
        report("smile", fields={"code": "y" * 99 + "😀 one"}),
    ]
    await db.bulk_docs(docs)
    return Lookups(db, Settings({}))


async def ask(lookups: Lookups, *questions: tuple[Doc, int | None]) -> list[set[str]]:
    found: list[set[str]] = [set() for _ in questions]

    async def one(at: int, values: Doc, since_ms: int | None) -> None:
        found[at] = await lookups.valid_reports_with(values, since_ms)

    failures = await lookups.rounds.run(one(at, *question) for at, question in enumerate(questions))
    assert failures == [None] * len(questions)
    return found


@pytest.mark.parametrize(
    ("values", "since_ms", "expected"),
    [
        ({"form": "PREG", "code": "aB1"}, None, {"r1", "r2"}),
        ({"form": "PREG", "code": "AB1", "village": "south"}, None, {"r2"}),
        ({"form": "PREG", "code": "AB1"}, 1500, {"r2"}),
        ({"code": "AB1"}, None, {"r1", "r2", "other"}),
        ({"form": "PREG", "code": LONG + "1"}, None, {"long"}),
        ({"form": "PREG", "code": LONG + "2"}, None, set()),
        ({"form": "PREG", "code": "a"}, None, {"short"}),
        ({"form": "PREG", "patient_id": "12345"}, None, {"number"}),
        ({"form": "PREG", "code": "y" * 99 + "😀 one"}, None, {"smile"}),
        ({"form": "PREG", "code": ""}, None, set()),
        ({"form": "VISIT"}, None, {"other"}),
        ({"form": "NONE", "code": "AB1"}, None, set()),
    ],
)
async def test_reports_with_the_same_values(
    lookups: Lookups, values: Doc, since_ms: int | None, expected: set[str]
) -> None:
    assert await ask(lookups, (values, since_ms)) == [expected]


async def test_many_questions_take_two_reads(lookups: Lookups) -> None:
    calls = 0

    class Counting(Database):
        async def request(self, method: str, path: str = "", **options: Any) -> Any:
            nonlocal calls
            calls += 1
            return await super().request(method, path, **options)

    lookups.db = Counting(lookups.db.couch, lookups.db.name)
    found = await ask(lookups, *(({"form": "PREG", "code": code}, None) for code in ("AB1", "a", LONG + "1", "none")))

    assert found == [{"r1", "r2"}, {"short"}, {"long"}, set()]
    assert calls == 2
