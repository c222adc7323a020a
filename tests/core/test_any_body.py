"""Whatever JSON comes in for people, places and users: it is stored in good shape, or refused with a sentence."""

from __future__ import annotations

from collections.abc import Awaitable, Iterable
from typing import Any
from urllib.parse import unquote

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from core.couch.client import Database, Doc
from core.errors import DomainError, NotFound
from core.new_users import create_user
from core.people import create_person
from core.places import create_place, update_place
from core.prepare import DEFAULT_SETTINGS
from core.settings import Settings
from core.users import update_user

SETTINGS = Settings(
    {
        **DEFAULT_SETTINGS,
        "contact_types": [
            {"id": "district_hospital"},
            {"id": "area", "parents": ["district_hospital"]},
            {"id": "chp", "parents": ["area"], "person": True},
        ],
    }
)
DOCS: dict[str, Doc] = {
    "d": {"type": "district_hospital", "name": "Busia"},
    "h": {"type": "health_center", "name": "Kanga", "reported_date": 1, "parent": {"_id": "d"}},
    "p": {"type": "person", "name": "Asha", "parent": {"_id": "h", "parent": {"_id": "d"}}},
    "org.couchdb.user:u": {"type": "user", "name": "u", "roles": ["chw"], "facility_id": "d", "contact_id": "p"},
}


class Accepting(Database):
    """A database that holds DOCS and takes every write of well-shaped contacts and users."""

    def __init__(self) -> None:
        self.couch = self  # type: ignore[assignment]
        self.name = "medic"

    def db(self, name: str) -> Database:
        return self

    async def bulk_get(self, ids: Iterable[str]) -> bytes:
        found = [{"id": each, "docs": [{"ok": doc}] if (doc := stored(each)) else []} for each in ids]
        return orjson.dumps({"results": found})

    async def request(self, method: str, path: str = "", **options: Any) -> Any:
        if path == "/_bulk_docs":
            docs = options["body"]["docs"]
            assert all(is_well_shaped(doc) for doc in docs), docs
            return [{"ok": True, "id": doc["_id"], "rev": "2-b"} for doc in docs]
        if method == "GET":
            doc = stored(unquote(path[1:]))
            if doc is None:
                raise NotFound("missing")
            return doc
        return {"ok": True, "rev": "2-c"}


def stored(doc_id: str) -> Doc | None:
    return {"_id": doc_id, "_rev": "1-a", **DOCS[doc_id]} if doc_id in DOCS else None


def is_well_shaped(doc: Doc) -> bool:
    if doc["type"] == "user-settings":
        return bool(doc["name"]) and isinstance(doc["roles"], list)
    references = [doc[name] for name in ("parent", "contact") if name in doc and doc["type"] != "person"]
    return (
        isinstance(doc["_id"], str)
        and isinstance(doc["name"], str)
        and isinstance(doc["reported_date"], int)
        and all(isinstance(each, dict) and set(each) <= {"_id", "parent"} for each in references)
    )


CONTACT_NAMES = [
    "_id",
    "_rev",
    "name",
    "type",
    "contact_type",
    "parent",
    "contact",
    "place",
    "reported_date",
    "place_id",
]
USER_NAMES = ["username", "password", "roles", "phone", "known", "language", "code", "fullname", "token_login"]
NAMES = st.sampled_from([*CONTACT_NAMES, *USER_NAMES])
TEXTS = st.text() | st.sampled_from(
    ["d", "h", "p", "x", "", "9" * 30, "clinic", "person", "contact", "area", "chp", "health_center", "chw", "_admin"]
)
SCALARS = st.none() | st.booleans() | st.integers(-10, 2**63) | st.floats(allow_nan=False) | TEXTS
BODIES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=7),
    max_leaves=20,
)
STARTS: list[Doc] = [
    {},
    {"name": "A", "type": "person"},
    {"name": "A", "type": "clinic", "parent": "h"},
    {"name": "A", "type": "area", "parent": {"name": "B", "type": "district_hospital"}},
    {"username": "z", "password": "secret", "roles": ["chw"], "place": "d", "contact": "p"},
    {
        "username": "z",
        "password": "secret",
        "roles": ["chw"],
        "place": {"name": "B", "type": "district_hospital"},
        "contact": {"name": "N"},
    },
]


@settings(max_examples=150, deadline=None)
@given(start=st.sampled_from(STARTS), body=st.dictionaries(NAMES, BODIES, max_size=8) | BODIES)
async def test_any_body_is_stored_or_refused(start: Doc, body: Any) -> None:
    db, body = Accepting(), {**start, **body} if isinstance(body, dict) else body

    outcomes = [
        await outcome(create_person(db, SETTINGS, body, now_ms=1)),
        await outcome(create_place(db, SETTINGS, body, now_ms=1)),
        await outcome(update_place(db, SETTINGS, "h", body, now_ms=1)),
        await outcome(create_user(db, SETTINGS, body, now_ms=1)),
        await outcome(update_user(db, SETTINGS, "u", body, now_ms=1)),
    ]

    assert all(each is None or (400 <= each.status < 500 and each.message) for each in outcomes)


async def outcome(write: Awaitable[Any]) -> DomainError | None:
    try:
        await write
    except DomainError as error:
        return error
    return None
