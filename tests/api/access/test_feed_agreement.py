"""Who follows the changes ends with the same documents as who asks for the list, in whatever pages and whenever."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from api.access import feed, queries, schema
from api.access.feed import Place
from api.access.rules import facts_of
from api.access.writer import Entry
from tests.api.access.naive_access import visible_ids
from tests.api.access.worlds import (
    HOME,
    PEOPLE,
    Body,
    World,
    check_nothing_lost,
    empty_index,
    histories,
    role_limits,
    scope_for,
    users,
)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(history=histories, user=users, limits=role_limits, since=st.integers(0, 20), limit=st.integers(1, 30))
def test_listing_and_scanning_give_the_same_changes(
    history: list[Any], user: Body, limits: list[Body], since: int, limit: int
) -> None:
    scope = scope_for(user, limits)
    world = World()
    for batch in history:
        world.apply(batch)
    connection = world.writer.connection
    last = schema.read_state(connection).change
    place = Place.at(min(since, last))
    ground = queries.ground_of(connection, scope)

    listed, _ = feed.listed_changes(connection, ground, place, last, limit, deletions=True)
    scanned, _ = feed.scanned_changes(connection, ground, place, last, limit, deletions=True)

    assert sorted(listed) == sorted(scanned)
    world.writer.close()


moves = st.one_of(
    st.builds(
        lambda who, inside, name, code: (
            who,
            {"type": "person", "name": name, "parent": {"_id": "place-0" if inside else "else"}, "patient_id": code},
        ),
        st.sampled_from(PEOPLE[:2]),
        st.booleans(),
        st.integers(0, 1),
        st.sampled_from([None, "10001"]),
    ),
    st.builds(
        lambda number, who: (f"doc-{number}", {"type": "data_record", "form": "visit", "patient_id": who}),
        st.integers(0, 3),
        st.sampled_from([*PEOPLE[:2], "10001", "place-0"]),
    ),
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(
    steps=st.lists(st.tuples(st.lists(moves, min_size=1, max_size=4), st.integers(0, 2)), min_size=3, max_size=7),
    limit=st.integers(1, 2),
)
def test_a_client_that_reads_while_contacts_move_misses_nothing(steps: list[Any], limit: int) -> None:
    # REPL-72, and what design.md promises: a contact entering the scope brings its documents
    scope = scope_for(HOME, [])
    world = World()
    known: dict[str, str] = {}
    place = Place.at(0)
    for batch, pages in steps:
        world.apply(batch)
        place = world.fed(scope, limit, known, place, most_pages=pages)

    world.fed(scope, limit, known, place)

    expected = visible_ids(world.last_live, HOME, {"replication_depth": []}, world.deleted) - world.deleted
    check_nothing_lost(world, scope, {doc_id: f"{world.generation[doc_id]}-x" for doc_id in expected}, known)
    world.writer.close()


def test_a_contact_edited_after_it_moved_still_brings_its_documents() -> None:
    scope = scope_for(HOME, [])
    world = World()
    inside = {"type": "person", "parent": {"_id": "place-0"}}
    report = {"type": "data_record", "form": "visit", "patient_id": "person-0"}
    known: dict[str, str] = {}
    world.apply([("doc-0", report)])
    place = world.fed(scope, 1, known, Place.at(0))
    for doc_id, body in (("person-0", inside), ("person-1", inside), ("person-0", {**inside, "name": "edited"})):
        world.apply([(doc_id, body)])

    world.fed(scope, 1, known, place)

    assert set(known) == {"person-0", "person-1", "doc-0"}
    world.writer.close()


def test_documents_passed_on_an_earlier_page_come_with_a_contact_that_moves_in_between_pages() -> None:
    scope = scope_for(HOME, [])
    world = World()
    inside = {"type": "person", "parent": {"_id": "place-0"}}
    report = {"type": "data_record", "form": "visit", "patient_id": "person-0"}
    known: dict[str, str] = {}
    world.apply([("doc-0", report), ("person-1", inside), ("person-2", inside)])
    place = world.fed(scope, 1, known, Place.at(0), most_pages=1)
    world.apply([("person-0", inside)])

    world.fed(scope, 1, known, place)

    assert set(known) == {"person-0", "person-1", "person-2", "doc-0"}
    world.writer.close()


def test_a_change_that_the_feed_repeats_is_no_news_unless_there_are_conflicts() -> None:
    writer = empty_index()
    facts = facts_of({"_id": "doc-0", "type": "form"})
    scope = scope_for(HOME, [])

    def news(entry: Entry) -> list[str]:
        before = Place.at(writer.state.change)
        after = writer.apply([entry], "seq", 0)
        assert after.change == before.change + 1
        return [row.rev for _, row in feed.changes(writer.connection, scope, before, 10, deletions=True).rows]

    first = Entry("doc-0", "1-a", False, facts, only_leaf=True)
    gone = Entry("doc-0", "2-b", True, None, only_leaf=True)

    assert [news(each) for each in (first, first, replace(first, only_leaf=False), gone, gone, first)] == [
        ["1-a"],
        [],
        ["1-a"],
        ["2-b"],
        [],
        ["1-a"],
    ]
    writer.close()


def test_positions_are_told_with_what_they_stand_for_and_mean_nothing_in_another_file() -> None:
    writer, other, scope = empty_index(), empty_index(), scope_for(HOME, [])
    form = Entry("doc-0", "1-a", False, facts_of({"_id": "doc-0", "type": "form"}), only_leaf=True)
    for number in (1, 2):
        writer.apply([replace(form, rev=f"{number}-a")], f"seq-{number}", 0)

    found = feed.changes(writer.connection, scope, Place.at(1), 10, deletions=True)

    assert (found.epoch, found.since_seq, found.seq) == (writer.state.epoch, "0", "seq-2")  # few are kept
    named = feed.named_changes(writer.connection, scope, ["doc-0"], writer.state)
    assert named is not None
    assert [row.rev for row in named] == ["2-a"]
    assert feed.named_changes(other.connection, scope, ["doc-0"], writer.state) is None
    writer.close()
    other.close()


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(history=histories, user=users, limits=role_limits)
def test_every_visible_change_wakes_the_scope(history: list[Any], user: Body, limits: list[Body]) -> None:
    # REPL-146: feeds are woken by the names a change touches
    scope = scope_for(user, limits)
    world = World()
    for batch in history:
        before = world.writer.state.change
        world.apply(batch)
        touched = feed.touched_names(world.writer.connection, before, world.writer.state.change)
        found = feed.changes(world.writer.connection, scope, Place.at(before), 1000, deletions=True)

        if found.rows:
            assert not touched.isdisjoint({*scope.facilities, *scope.own_keys, *scope.own_ids})
    world.writer.close()
