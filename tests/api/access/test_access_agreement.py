"""REPL-54: every path to the answer agrees with the rules written naively, whatever happens to the documents."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from api.access import queries, schema
from api.access.feed import Place
from api.access.listing import counts, listing, visible_rows
from api.access.rules import facts_of, names_of, visible
from api.access.writer import Entry
from core.purging import role_set_hash
from tests.api.access.naive_access import visible_ids
from tests.api.access.worlds import (
    DOC_IDS,
    HOME,
    PEOPLE,
    Body,
    World,
    check_nothing_lost,
    empty_index,
    histories,
    ordered,
    role_limits,
    scope_for,
    users,
)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(history=histories, user=users, limits=role_limits, limit=st.integers(1, 5))
def test_all_paths_agree_with_the_naive_rules(history: list[Any], user: Body, limits: list[Body], limit: int) -> None:
    scope = scope_for(user, limits)
    world = World()
    known: dict[str, str] = {}
    place = Place.at(0)
    for batch in history:
        world.apply(batch)
        expected = visible_ids(world.last_live, user, {"replication_depth": limits}, world.deleted)
        live = expected - world.deleted

        assert world.listed(scope, deletions=True) == expected  # REPL-51, REPL-76
        assert world.listed(scope, deletions=False) == live  # REPL-50
        found = listing(world.writer.connection, scope)
        assert [row["id"] for row in found.rows()] == sorted(live)
        assert found.total == len(live)
        assert counts(world.writer.connection, scope) == (found.total, found.tasks)  # EP-USI-6
        assert world.singly(scope) == expected  # REPL-43..48

        place = world.fed(scope, limit, known, place)
        current = {doc_id: f"{world.generation[doc_id]}-x" for doc_id in live}
        check_nothing_lost(world, scope, current, known)
        fresh: dict[str, str] = {}
        world.fed(scope, limit, fresh, Place.at(0))
        assert fresh == current
    world.writer.close()


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(history=histories, user=users, limits=role_limits, marked=st.sets(st.sampled_from([*DOC_IDS, *PEOPLE, "new"])))
def test_purged_documents_are_in_no_list_and_no_feed(
    history: list[Any], user: Body, limits: list[Body], marked: set[str]
) -> None:
    # REPL-52, REPL-55..57, REPL-78, REPL-148
    scope = scope_for(user, limits)
    world = World()
    for role_set in (scope.role_set, role_set_hash(["others"])):
        assert role_set is not None
        world.writer.apply_marks(role_set, "one", dict.fromkeys([*marked, "doc-5"], True), "1")
        world.writer.apply_marks(role_set, "one", {"doc-5": False}, "2")
    world.writer.forget_role_set(str(role_set_hash(["others"])))
    for batch in history:
        world.apply(batch)
    visible_now = visible_ids(world.last_live, user, {"replication_depth": limits}, world.deleted) - world.deleted
    marked.discard("doc-5")

    found = listing(world.writer.connection, scope)
    fed: dict[str, str] = {}
    world.fed(scope, 3, fed, Place.at(0))
    fed_at_once: dict[str, str] = {}
    for row in visible_rows(
        world.writer.connection, queries.ground_of(world.writer.connection, scope), deletions=False
    ):
        fed_at_once[row.id] = row.rev
    others = listing(world.writer.connection, replace(scope, role_set=role_set_hash(["others"])))

    assert {row["id"] for row in found.rows()} == fed.keys() == fed_at_once.keys() == visible_now - marked
    assert (found.total, found.purged) == (len(visible_now - marked), len(visible_now & marked))
    assert counts(world.writer.connection, scope) == (found.total, found.tasks)
    assert {row["id"] for row in others.rows()} == visible_now
    world.writer.close()


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(history=histories, user=users, limits=role_limits)
def test_an_index_kept_up_to_date_equals_a_rebuilt_one(history: list[Any], user: Body, limits: list[Body]) -> None:
    # REPL-144
    scope = scope_for(user, limits)
    world = World()
    for batch in history:
        world.apply(batch)
    rebuilt = empty_index()
    entries = [
        Entry(doc_id, f"{world.generation[doc_id]}-x", doc_id in world.deleted, facts_of(body))
        for doc_id, body in world.last_live.items()
    ]
    rebuilt.apply(entries, "rebuilt", 0)

    def seen(connection: Any) -> dict[str, tuple[str, bool]]:
        rows = visible_rows(connection, queries.ground_of(connection, scope), deletions=True)
        return {row.id: (row.rev, row.deleted) for row in rows}

    assert seen(rebuilt.connection) == seen(world.writer.connection)
    ids = list(world.last_live)
    assert schema.read_state(rebuilt.connection).couch_seq == "rebuilt"
    again = queries.stored_facts(rebuilt.connection, ids)
    kept = queries.stored_facts(world.writer.connection, ids)
    assert {each: ordered(facts) for each, facts in again.items()} == {
        each: ordered(facts) for each, facts in kept.items()
    }
    rebuilt.close()
    world.writer.close()


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(history=histories, user=users, limits=role_limits)
def test_stored_facts_judge_like_the_body(history: list[Any], user: Body, limits: list[Body]) -> None:
    scope = scope_for(user, limits)
    world = World()
    for batch in history:
        world.apply(batch)
    stored = queries.stored_facts(world.writer.connection, list(world.last_live))

    for doc_id, body in world.last_live.items():
        facts = facts_of(body)
        context = queries.resolve(world.writer.connection, scope, names_of(facts) | names_of(stored[doc_id]))
        assert visible(stored[doc_id], context) == visible(facts, context)
    world.writer.close()


def test_documents_are_counted_without_their_ids() -> None:
    # EP-USI-7
    world = World()
    world.apply([("place-0", {"type": "clinic"})])
    world.apply([(f"doc-{n}", {"type": "data_record", "form": "V", "patient_id": "place-0"}) for n in range(500)])
    scope = scope_for(HOME, [])
    world.writer.connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, 10_000)  # bytes of any value

    assert counts(world.writer.connection, scope) == (501, 0)
    with pytest.raises(sqlite3.DataError):
        listing(world.writer.connection, scope)
    world.writer.close()
