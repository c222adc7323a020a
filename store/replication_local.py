"""One side of a replication that is a database of this store: no HTTP in between."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from sqlite3 import Connection
from typing import Any

import orjson

from store import admission, reads, revtree
from store.changes import FeedParams, count_pending, filtered, read_changes
from store.database import Database
from store.documents import Edit, parse_edit
from store.errors import BadRequest, Conflict, NotFound, PreconditionFailed, StoreError
from store.permissions import User, require_db_member, require_server_admin
from store.reads import DocOptions
from store.replication_peer import Missing, Page, Refusal
from store.replication_request import ChangeFilter
from store.selector import compile_selector
from store.seqs import parse_seq
from store.service import Store

_DOCS_AT_ONCE = 100
_WAIT_S = 60.0


class LocalPeer:
    """A database by its name, read and written as one user."""

    def __init__(self, store: Store, name: str, user: User) -> None:
        self._store = store
        self._name = name
        self._user = user

    async def open(self, create_with: Mapping[str, str] | None) -> None:
        if self._name not in self._store.databases:
            if create_with is None:
                raise StoreError(f"could not open {self._name}", slug="db_not_found")
            require_server_admin(self._user)
            try:
                await self._store.databases.create(self._name)
            except PreconditionFailed:  # somebody else was faster
                pass
        async with self._store.databases.use(self._name) as database:
            require_db_member(self._user, database.security)

    async def get_local(self, doc_id: str) -> dict[str, Any] | None:
        async with self._store.databases.use(self._name) as database:
            row = database.conn.execute("SELECT rev, body FROM local_docs WHERE id = ?", (doc_id,)).fetchone()
        return None if row is None else {"_id": doc_id, "_rev": f"0-{row[0]}", **orjson.loads(row[1])}

    async def put_local(self, doc: Mapping[str, Any]) -> None:
        async with self._store.databases.use(self._name) as database:
            for _ in range(3):
                stored = await self.get_local(doc["_id"])
                sent = {**doc, **({"_rev": stored["_rev"]} if stored else {})}
                [outcome] = await admission.write(self._store, database, self._user, [parse_edit(sent)])
                if not isinstance(outcome, StoreError):
                    return
                if outcome.status != 409:
                    raise outcome
        raise Conflict

    async def changes(self, since: Any, limit: int, chosen: ChangeFilter, *, wait: bool) -> Page:
        async with self._store.databases.use(self._name) as database:
            at = parse_seq(since, database.mark, database.update_seq)
            if wait:
                await database.news(at, _WAIT_S)
            params, passes = _filter(self._store, database, self._user, chosen)
            until = database.update_seq
            found = await database.read(lambda conn: read_changes(conn, database.mark, params, at, until, limit))
            last = found[-1].seq if len(found) == limit else until
            pending = await database.read(lambda conn: count_pending(conn, params, last)) if last < until else 0
            if passes is not None:
                found = await filtered(found, passes)
            rows = [orjson.loads(change.row) for change in found]
            leaves = [(row["id"], [each["rev"] for each in row["changes"]]) for row in rows]
            return Page(leaves, f"{last}-{database.mark}", pending)

    async def revs_diff(self, leaves: Sequence[tuple[str, list[str]]]) -> list[Missing]:
        def diff(conn: Connection) -> list[Missing]:
            rows = reads.find_many(conn, [doc_id for doc_id, _ in leaves])
            found: list[Missing] = []
            for doc_id, revs in leaves:
                row = rows.get(doc_id)
                absent, ancestors = (revs, []) if row is None else revtree.missing(revtree.decode(row.tree), revs)
                if absent:
                    found.append(Missing(doc_id, list(absent), list(ancestors)))
            return found

        async with self._store.databases.use(self._name) as database:
            return await database.read(diff)

    async def read(self, missing: Sequence[Missing]) -> AsyncGenerator[dict[str, Any], None]:
        async with self._store.databases.use(self._name) as database:
            for at in range(0, len(missing), _DOCS_AT_ONCE):
                asked = missing[at : at + _DOCS_AT_ONCE]
                for doc, wanted in await database.read(lambda conn, asked=asked: _bare(conn, database, asked)):  # type: ignore[misc]
                    if "_attachments" not in doc:
                        yield doc
                        continue
                    rev, since = doc["_rev"], tuple(wanted.ancestors)
                    options = DocOptions(revs=True, attachments=True, atts_since=since or None)
                    for whole in await database.read(
                        lambda conn, wanted=wanted, rev=rev, options=options: _opened(  # type: ignore[misc]
                            conn, database, wanted.id, [rev], options
                        )
                    ):
                        yield whole

    async def write(self, docs: Sequence[dict[str, Any]]) -> list[Refusal]:
        edits: list[Edit] = []
        refusals: list[Refusal] = []

        def parse() -> None:
            for doc in docs:
                doc_id = doc["_id"]
                try:
                    edits.append(parse_edit(doc, new_edits=False))
                except StoreError as error:
                    refusals.append(Refusal(doc_id, error.slug, error.reason))

        async with self._store.databases.use(self._name) as database:
            await database.run(parse)
            outcomes = await admission.write(self._store, database, self._user, edits)
        for edit, outcome in zip(edits, outcomes, strict=True):
            if isinstance(outcome, StoreError):
                refusals.append(Refusal(edit.id, outcome.slug, outcome.reason))
        return refusals

    async def close(self) -> None:
        await asyncio.sleep(0)


def _bare(conn: Connection, database: Database, asked: Sequence[Missing]) -> list[tuple[dict[str, Any], Missing]]:
    """Revisions whose attachments are stubs."""
    options = DocOptions(revs=True)
    return [(doc, wanted) for wanted in asked for doc in _opened(conn, database, wanted.id, wanted.revs, options)]


def _opened(
    conn: Connection, database: Database, doc_id: str, revs: Sequence[str], options: DocOptions
) -> list[dict[str, Any]]:
    row = reads.find(conn, doc_id)
    if row is None:
        return []
    found = reads.open_revs(conn, row, doc_id, revs, latest=True)
    return [
        orjson.loads(reads.render(conn, database.mark, row, each, options))
        for each in found
        if not isinstance(each, str)
    ]


def _filter(store: Store, database: Database, user: User, chosen: ChangeFilter) -> tuple[FeedParams, Any]:
    """What to read of the feed, and a function that tells which of a batch of documents pass (None: all)."""
    params = FeedParams(all_leaves=not chosen.winners_only)
    with_doc = FeedParams(all_leaves=not chosen.winners_only, needs_doc=True)
    if chosen.doc_ids is not None:
        return FeedParams(all_leaves=not chosen.winners_only, doc_ids=tuple(chosen.doc_ids)), None
    if chosen.selector is not None:
        matches = compile_selector(chosen.selector)

        async def match(docs: Sequence[bytes]) -> list[bool]:
            return await database.run(lambda: [matches(orjson.loads(doc)) for doc in docs])

        return with_doc, match
    if chosen.function is None:
        return params, None
    if chosen.function == "_design":
        return FeedParams(all_leaves=not chosen.winners_only, design_only=True), None
    path = chosen.query.get("view", "") if chosen.function == "_view" else chosen.function
    ddoc_name, slash, name = path.partition("/")
    if not slash:
        raise BadRequest("`filter` must be of the form `designname/filtername`")
    ddoc = database.design_doc(f"_design/{ddoc_name}")
    if chosen.function == "_view":
        view = (ddoc.doc.get("views") or {}).get(name)
        source = view.get("map") if isinstance(view, dict) else None
    else:
        source = (ddoc.doc.get("filters") or {}).get(name)
    if not isinstance(source, str):
        raise NotFound(f"missing json key: {name}")
    engine = store.javascript.engine(source)
    if chosen.function == "_view":
        return with_doc, lambda docs: engine.filter_by_view(source, docs)
    request = {"query": dict(chosen.query), "method": "GET", "userCtx": user.context(database.name)}
    return with_doc, lambda docs: engine.filter_docs(source, docs, request, ddoc.source)
