"""What lists and feeds cost, in steps of SQLite: by what the user has and by what changed, never by a limit."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from api.access import feed, schema
from api.access.feed import Place
from api.access.listing import listing
from api.access.rules import Scope, facts_of, scope_of
from api.access.writer import Entry, IndexWriter
from tests.api.access.worlds import empty_index

MANY = 200_001  # one more than CHT reads


def entry(doc: dict[str, Any], rev: str = "1-a") -> Entry:
    return Entry(doc["_id"], rev, False, facts_of(doc))


def clinic(name: str) -> dict[str, Any]:
    return {"_id": name, "type": "clinic", "parent": {"_id": "district"}}


def report(name: str, subject: str) -> dict[str, Any]:
    return {"_id": name, "type": "data_record", "form": "visit", "fields": {"patient_id": subject}}


def scope_at(place: str) -> Scope:
    return scope_of(None, ("chw",), (place,), None, None, False)


@pytest.fixture(scope="module")
def writer() -> Iterator[IndexWriter]:
    """A large clinic with very many reports and a small one with few; then ten changes about each."""
    writer = empty_index()
    writer.apply([entry(clinic("large")), entry(clinic("small")), entry(report("model", "large"))], "1", 0)
    columns = "subject, 1000 + x, printf('bulk-%06d', x), rev, flags, submitter, change"
    writer.connection.execute(
        f"""WITH RECURSIVE many (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM many WHERE x < {MANY - 1})
        INSERT INTO node SELECT {columns} FROM many, (SELECT * FROM node WHERE id = 'model') AS model"""
    )
    reopened = IndexWriter(writer.connection)
    reopened.apply([entry(report(f"{place}-{n}", place)) for n in range(10) for place in ("large", "small")], "2", 0)
    yield reopened
    reopened.close()


def steps_of(connection: sqlite3.Connection, work: Callable[[], object]) -> int:
    """How many steps of SQLite's machine it takes."""
    steps = 0

    def count() -> int:
        nonlocal steps
        steps += 1
        return 0

    connection.set_progress_handler(count, 1)
    try:
        work()
    finally:
        connection.set_progress_handler(None, 0)
    return steps


def test_a_list_has_everything_however_long_it_is(writer: IndexWriter) -> None:
    # REPL-53, REPL-141: 100,000 documents within two seconds of one core
    started_s = time.thread_time()

    found = listing(writer.connection, scope_at("large"))

    assert found.total == MANY + 10 + 1
    assert found.text.count(b'"id":') == found.total
    assert time.thread_time() - started_s < 4


def test_a_feed_costs_what_changed_and_not_what_the_user_has(writer: IndexWriter) -> None:
    # REPL-145
    place = Place.at(schema.read_state(writer.connection).change - 20)

    def changes(name: str) -> list[str]:
        found = feed.changes(writer.connection, scope_at(name), place, 100, deletions=True)
        return [row.id for _, row in found.rows]

    large = steps_of(writer.connection, lambda: changes("large"))
    small = steps_of(writer.connection, lambda: changes("small"))

    assert changes("large") == [f"large-{n}" for n in range(10)]
    assert changes("small") == [f"small-{n}" for n in range(10)]
    assert large < 1.5 * small


def test_a_document_comes_with_its_keys_and_its_place_in_the_tree_or_not_at_all() -> None:
    # REPL-140: one transaction
    writer = empty_index()
    broken = entry(report("about", "new"), rev="1-\ud800")

    with pytest.raises(UnicodeEncodeError):
        writer.apply([entry(clinic("new")), broken], "1", 0)
    none = listing(writer.connection, scope_at("new")).total
    state = schema.read_state(writer.connection)
    writer.apply([entry(clinic("new")), entry(report("about", "new"))], "1", 0)
    both = listing(writer.connection, scope_at("new")).total
    writer.close()

    assert (none, state.change, state.couch_seq, both) == (0, 0, "0", 2)
