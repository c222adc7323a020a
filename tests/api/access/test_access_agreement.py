"""REPL-54: every path to the answer agrees with the rules written naively, whatever happens to the documents."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from api.access import feed, queries, schema
from api.access.feed import Place
from api.access.listing import listing, visible_rows
from api.access.rules import Facts, Scope, facts_of, names_of, scope_of, visible
from api.access.writer import Entry, IndexWriter
from core.purging import role_set_hash
from tests.api.access.naive_access import visible_ids

PLACES = [f"place-{n}" for n in range(5)]
PEOPLE = [f"person-{n}" for n in range(4)]
CODES = ["10001", "10002", 10003, "place-1", "_unassigned"]
USER = "org.couchdb.user:asha"
CONTACT_TYPES = ["contact", "person", "clinic", "health_center", "district_hospital", "national_office"]

any_contact_id = st.sampled_from([*PLACES, *PEOPLE])
any_subject = st.one_of(st.none(), any_contact_id, st.sampled_from(CODES))
yes_or_no = st.sampled_from([None, True, False, "true", "false", "no", {}, "x"])


def chains(depth: int) -> st.SearchStrategy[Any]:
    if depth == 0:
        return st.none()
    link = st.one_of(st.none(), st.sampled_from(PLACES))
    return st.one_of(st.none(), st.builds(lambda found, up: {"_id": found, "parent": up}, link, chains(depth - 1)))


submitters = st.one_of(
    st.none(),
    st.builds(lambda found, up: {"_id": found, "parent": up}, st.one_of(st.none(), any_contact_id), chains(3)),
)
contacts = st.builds(
    lambda kind, parent, code, main, person: {
        "type": kind,
        "parent": parent,
        ("patient_id" if person else "place_id"): code,
        "contact": main,
    },
    st.sampled_from(CONTACT_TYPES),
    chains(4),
    st.one_of(st.none(), st.sampled_from(CODES)),
    st.one_of(st.none(), st.sampled_from(PEOPLE), st.sampled_from(PEOPLE).map(lambda found: {"_id": found})),
    st.booleans(),
)
reports = st.fixed_dictionaries(
    {
        "type": st.just("data_record"),
        "form": st.sampled_from(["visit", "visit", None]),
        "contact": submitters,
        "fields": st.fixed_dictionaries(
            {
                "patient_id": any_subject,
                "place_id": any_subject,
                "patient_uuid": any_subject,
                "private": yes_or_no,
                "needs_signoff": yes_or_no,
            }
        ),
    },
    optional={
        "patient_id": any_subject,
        "place_id": any_subject,
        "errors": st.lists(st.builds(dict, code=st.sampled_from(["registration_not_found", "sys.empty"])), max_size=2),
        "sms_message": st.just({"message": "hello"}),
    },
)
messages = st.builds(
    lambda contact: {"type": "data_record", "kujua_message": True, "tasks": [{"messages": [{"contact": contact}]}]},
    submitters,
)
others = st.sampled_from(
    [
        {"type": "form"},
        {"type": "translations"},
        {"type": "task", "user": USER},
        {"type": "task", "user": "org.couchdb.user:other"},
        {"type": "target", "owner": "person-0"},
        {"type": "target", "owner": "place-2"},
        {"type": "user-settings"},
        {"type": "data_record"},
        {},
    ]
)
bodies = st.one_of(reports, contacts, messages, others)
DOC_IDS = [
    *(f"doc-{n}" for n in range(6)),
    "settings",
    "_design/medic-client",
    USER,
    "org.couchdb.user:other",
    'doc "0"\x00\\ \n',
]
writes = st.one_of(
    st.tuples(any_contact_id, contacts),
    st.tuples(any_contact_id, contacts),
    st.tuples(st.sampled_from(DOC_IDS), bodies),
    st.tuples(st.sampled_from(DOC_IDS), bodies),
    st.tuples(st.sampled_from([*PLACES, *PEOPLE, *DOC_IDS]), st.none()),
)
histories = st.lists(st.lists(writes, min_size=1, max_size=12), min_size=1, max_size=4)

role_limits = st.lists(
    st.fixed_dictionaries(
        {"role": st.sampled_from(["chw", "nurse", "other"]), "depth": st.integers(0, 4)},
        optional={"report_depth": st.integers(0, 4), "replicate_primary_contacts": st.booleans()},
    ),
    max_size=4,
)
users = st.fixed_dictionaries(
    {
        "name": st.just("asha"),
        "roles": st.sampled_from([["chw"], ["nurse", "chw"], ["unlimited"]]),
        "facilities": st.lists(st.sampled_from(PLACES), max_size=2, unique=True),
        "contact_id": st.one_of(st.none(), st.sampled_from(PEOPLE)),
        "unassigned": st.booleans(),
    }
)

Body = dict[str, Any]


def empty_index() -> IndexWriter:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    schema.create(connection, "test")
    schema.add_functions(connection)
    return IndexWriter(connection)


def ordered(facts: Facts) -> Facts:
    return structs.replace(facts, signoff=tuple(sorted(facts.signoff)), chain=tuple(sorted(facts.chain)))


class World:
    """A database's documents as a feed tells of them, and the index that follows it."""

    def __init__(self) -> None:
        self.writer = empty_index()
        self.generation: dict[str, int] = {}
        self.last_live: dict[str, Body] = {}
        self.deleted: set[str] = set()

    def apply(self, batch: list[tuple[str, Body | None]]) -> None:
        entries: dict[str, Entry] = {}
        for doc_id, body in batch:
            if body is None and doc_id not in self.last_live:
                continue
            self.generation[doc_id] = self.generation.get(doc_id, 0) + 1
            rev = f"{self.generation[doc_id]}-x"
            if body is None:
                self.deleted.add(doc_id)
                was_known = self.generation[doc_id] > 1 and doc_id not in entries
                facts = None if was_known else facts_of(self.last_live[doc_id])
                entries.pop(doc_id, None)
                entries[doc_id] = Entry(doc_id, rev, True, facts)
                continue
            self.deleted.discard(doc_id)
            self.last_live[doc_id] = {"_id": doc_id, **body}
            entries.pop(doc_id, None)
            entries[doc_id] = Entry(doc_id, rev, False, facts_of(self.last_live[doc_id]))
        self.writer.apply(list(entries.values()), f"{sum(self.generation.values())}-seq", 0)

    def listed(self, scope: Scope, *, deletions: bool) -> set[str]:
        connection = self.writer.connection
        rows = visible_rows(connection, queries.ground_of(connection, scope), deletions=deletions)
        assert len({row.id for row in rows}) == len(rows)
        return {row.id for row in rows}

    def singly(self, scope: Scope) -> set[str]:
        """Each document on its own, by its body."""
        seen = set()
        for doc_id, body in self.last_live.items():
            facts = facts_of(body)
            context = queries.resolve(self.writer.connection, scope, names_of(facts))
            if visible(facts, context):
                seen.add(doc_id)
        return seen

    def fed(self, scope: Scope, limit: int, known: dict[str, str], place: Place, most_pages: int = 1000) -> Place:
        """Follow the changes page by page, as a client does, into its copy of ids and revs."""
        for _ in range(most_pages):
            found = feed.changes(self.writer.connection, scope, place, limit, deletions=True)
            for _, row in found.rows:
                if row.deleted:
                    known.pop(row.id, None)
                else:
                    known[row.id] = row.rev
            assert found.place.change >= place.change
            place = found.place
            if place.whole == place.change:
                break
        return place


def scope_for(user: Body, limits: list[Body]) -> Scope:
    return scope_of(user["name"], user["roles"], user["facilities"], user["contact_id"], limits, user["unassigned"])


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(history=histories, user=users, limits=role_limits, limit=st.integers(1, 5))
def test_all_paths_agree_with_the_naive_rules(history: list[Any], user: Body, limits: list[Body], limit: int) -> None:
    scope = scope_for(user, limits)
    world = World()
    known: dict[str, str] = {}
    place = Place.at(0)
    for batch in history:
        world.apply(batch)
        expected = visible_ids(world.last_live, user, {"replication_depth": limits})
        live = expected - world.deleted

        assert world.listed(scope, deletions=True) == expected  # REPL-51, REPL-76
        assert world.listed(scope, deletions=False) == live  # REPL-50
        found = listing(world.writer.connection, scope)
        assert [row["id"] for row in found.rows()] == sorted(live)
        assert found.total == len(live)
        assert world.singly(scope) == expected  # REPL-43..48

        place = world.fed(scope, limit, known, place)
        current = {doc_id: f"{world.generation[doc_id]}-x" for doc_id in live}
        check_nothing_lost(world, scope, current, known)
        fresh: dict[str, str] = {}
        world.fed(scope, limit, fresh, Place.at(0))
        assert fresh == current
    world.writer.close()


def check_nothing_lost(world: World, scope: Scope, current: dict[str, str], known: dict[str, str]) -> None:
    """A client that follows has every visible document in its latest revision.

    REPL-79 excuses documents that became visible without a change of theirs or of the contact they are about: private
    reports whose sender came into scope, contacts that became primary, and contacts that moved nearer than the
    report depth though they were in scope before.
    """
    for doc_id, rev in current.items():
        facts = facts_of(world.last_live[doc_id])
        excused = doc_id not in known and (facts.private or scope.primary_contacts)
        assert known.get(doc_id) == rev or excused, f"{doc_id} was lost"


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(history=histories, user=users, limits=role_limits, marked=st.sets(st.sampled_from([*DOC_IDS, *PEOPLE, "new"])))
def test_purged_documents_are_in_no_list_and_no_feed(
    history: list[Any], user: Body, limits: list[Body], marked: set[str]
) -> None:
    # REPL-52, REPL-55..57, REPL-78
    scope = scope_for(user, limits)
    world = World()
    for role_set in (scope.role_set, role_set_hash(["others"])):
        assert role_set is not None
        world.writer.apply_marks(role_set, "one", dict.fromkeys([*marked, "doc-5"], True), "1")
        world.writer.apply_marks(role_set, "one", {"doc-5": False}, "2")
    world.writer.forget_role_set(str(role_set_hash(["others"])))
    for batch in history:
        world.apply(batch)
    visible_now = visible_ids(world.last_live, user, {"replication_depth": limits}) - world.deleted
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
    assert {row["id"] for row in others.rows()} == visible_now
    world.writer.close()


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(history=histories, user=users, limits=role_limits)
def test_an_index_kept_up_to_date_equals_a_rebuilt_one(history: list[Any], user: Body, limits: list[Body]) -> None:
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


HOME = {"name": "asha", "roles": ["chw"], "facilities": ["place-0"], "contact_id": None, "unassigned": False}
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

    expected = visible_ids(world.last_live, HOME, {"replication_depth": []}) - world.deleted
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
