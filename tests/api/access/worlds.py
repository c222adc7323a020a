"""Random districts: users, settings and documents that come, move and go, and an index that follows them."""

from __future__ import annotations

import sqlite3
from typing import Any

import orjson
from hypothesis import strategies as st
from msgspec import structs

from api.access import feed, queries, schema
from api.access.bodies import facts_in
from api.access.contexts import Contexts
from api.access.feed import Place
from api.access.listing import visible_rows
from api.access.rules import Facts, Scope, facts_of, names_of, scope_of, visible
from api.access.writer import Entry, IndexWriter

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
RESERVED_IDS = ["settings", "_design/medic-client", USER, "org.couchdb.user:other"]
DOC_IDS = [*(f"doc-{n}" for n in range(6)), *RESERVED_IDS, 'doc "0"\x00\\ \n']
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
        "keeps_deleted": st.booleans(),
    }
)

Body = dict[str, Any]


def empty_index() -> IndexWriter:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    schema.create(connection, "test")
    schema.prepare_reader(connection)
    return IndexWriter(connection)


def ordered(facts: Facts) -> Facts:
    return structs.replace(facts, signoff=tuple(sorted(facts.signoff)), chain=tuple(sorted(facts.chain)))


class World:
    """A database's documents as a feed tells of them, and the index that follows it."""

    def __init__(self) -> None:
        self.writer = empty_index()
        self.contexts = Contexts()
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
        """Each document on its own, by the bytes of its body and what is remembered of the scope."""
        seen = set()
        reached = self.contexts.at(scope, schema.read_state(self.writer.connection))
        for doc_id, body in self.last_live.items():
            facts = facts_in(orjson.dumps(body))
            assert facts == facts_of(body)
            names = names_of(facts)
            missing = reached.missing(names)
            if missing:  # REPL-142
                self.contexts.add(reached, missing, queries.resolve(self.writer.connection, scope, missing))
            if visible(facts, reached.context(scope, names)):
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
    account = (user["name"], user["roles"], user["facilities"], user["contact_id"])
    return scope_of(*account, limits, user["unassigned"], user["keeps_deleted"])


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


HOME = {
    "name": "asha",
    "roles": ["chw"],
    "facilities": ["place-0"],
    "contact_id": None,
    "unassigned": False,
    "keeps_deleted": True,
}
