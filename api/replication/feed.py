"""One request's way through the changes: where it stands and the rows it has found (20 §9)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from aiohttp import web

from api.access.feed import Found, Place
from api.access.index import AccessIndex
from api.access.queries import Row
from api.access.rules import Facts, Scope, facts_of
from api.keys import ACCESS, DB, SESSIONS, SETTINGS
from api.replication.changes_params import Params
from api.replication.judge import judge
from api.replication.lists import doc_options
from api.replication.scope import account_scope
from api.replication.tokens import Position, position_of
from api.sessions import User
from core.errors import InvalidInput, NotFound, Unauthorized

STORAGE_PAGE = 500  # changes read from CouchDB at once to continue from a sequence of its own
LOOKUP_PAGE = 100  # ids up to which CouchDB looks documents up instead of reading its whole feed
ROWS_PAGE = 1000


class Feed:
    """The caller's changes from `since` on; `rows` are those found and not yet sent."""

    def __init__(self, request: web.Request, user: User, params: Params) -> None:
        self.request = request
        self.access: AccessIndex = request.config_dict[ACCESS]
        self.user = user
        self.params = params
        self.rows: dict[str, tuple[str, Row]] = {}
        self.scope = self._scope()
        self.begin = params.since
        self.last_seq = params.since

    def _scope(self) -> Scope:
        settings = self.request.config_dict[SETTINGS].current
        user = self.user
        return account_scope(settings, user.name, user.roles, user.facility_ids, user.contact_id)

    async def refresh(self) -> bool:
        """Whether account or settings have come to mean another scope; then the rows begin at `since` again (REPL-74).

        Unauthorized when the session has ended. An account that is no offline user's any more has no rows.
        """
        user = await self.request.config_dict[SESSIONS].resolve(self.request)
        if user is None:
            raise Unauthorized("not logged in")
        before, self.user = self.scope, user
        self.scope = self._scope()
        if self.scope == before and user.offline:
            return False
        self.rows.clear()
        self.last_seq = self.begin
        return True

    async def read(self, most: int) -> bool:
        """Add what changed since `last_seq` until there are `most` rows; whether that is all that the index has."""
        state = await self.access.state()
        position = position_of(self.last_seq, state)
        if self.begin == "now":
            self.begin = str(position)
        place = position.local(state)
        if place is None:
            place = await self._read_from_storage(position.couch_seq, most)
        while place is not None:
            room = most - len(self.rows)
            found = await self.access.changes(self.scope, place, room, deletions=self.params.deletions)
            if found.epoch != state.epoch:  # the file was replaced: the place means nothing in it
                return await self.read(most)
            await self._add_found(found, place)
            if found.place.whole == found.place.change:
                return True
            if len(self.rows) >= most:
                return False
            place = found.place
        return False

    async def _add_found(self, found: Found, since: Place) -> None:
        """Rows with their sequences: continuing from the last one, or from `last_seq`, is continuing from the end.

        Of the rows that one change brings only the last has its sequence: who stops among them gets them again.
        """
        position = Position(found.on_the_way, found.epoch, found.since_seq)
        passed = since.change
        for number, (change, row) in enumerate(found.rows, 1):
            if number == len(found.rows) or found.rows[number][0] != change:
                passed = change
            self._add(position.text_at(passed), row)
            if number % ROWS_PAGE == 0:
                await asyncio.sleep(0)  # others' turn
        complete = found.place.whole == found.place.change
        if complete and found.rows:
            change, row = found.rows[-1]
            self._add(str(Position(Place.at(change), found.epoch, found.since_seq)), row)
        self.last_seq = str(Position(found.place, found.epoch, found.seq))

    async def _read_from_storage(self, couch_seq: str, most: int) -> Place | None:
        """Go from a sequence of CouchDB's to a place in this index; None when there were `most` rows on the way.

        What CouchDB says has changed is judged by the index. Afterwards everything that the index knew when this began
        has been passed, so the client continues from there. A sequence that CouchDB refuses begins at 0.
        """
        state, begun = await self.access.state(), couch_seq
        while True:
            try:
                page = await self.request.config_dict[DB].changes(couch_seq, limit=STORAGE_PAGE)
            except (InvalidInput, NotFound):
                return Place.at(0)
            results = page["results"]
            rows = await self.access.named_changes(self.scope, [row["id"] for row in results], state)
            if rows is None:
                return await self._read_from_storage(begun, most)
            for row in rows:
                if self.params.deletions or not row.deleted:
                    self._add(str(Position.in_storage(couch_seq)), row)
            couch_seq = str(page["last_seq"])
            complete = len(results) < STORAGE_PAGE
            self.last_seq = str(Position.at_end(state) if complete else Position.in_storage(couch_seq))
            if len(self.rows) >= most:
                return None
            if complete:
                return Place.at(state.change)

    def _add(self, seq: str, row: Row) -> None:
        """One row per document, at its latest place (REPL-66)."""
        if self.params.doc_ids is None or row.id in self.params.doc_ids:
            self.rows.pop(row.id, None)
            self.rows[row.id] = (seq, row)

    async def pages(self) -> AsyncIterator[list[dict[str, Any]]]:
        """The rows as they go out, and out of `rows`; few at once where CouchDB has to be asked about them."""
        params = self.params
        found, self.rows = list(self.rows.values()), {}
        step = LOOKUP_PAGE if params.all_leaves or params.include_docs else ROWS_PAGE
        for start in range(0, len(found), step):
            rows = [change_row(seq, row) for seq, row in found[start : start + step]]
            if params.all_leaves:
                await self._add_leaves(rows)
            yield await self._with_docs(rows) if params.include_docs else rows
            await asyncio.sleep(0)  # others' turn, also where the client takes everything at once

    async def _add_leaves(self, rows: list[dict[str, Any]]) -> None:
        """`style=all_docs`: every leaf revision, winner first, as CouchDB has them now."""
        asked = {row["id"]: row for row in rows}
        params = {"filter": "_doc_ids", "style": "all_docs"}
        db = self.request.config_dict[DB]
        answer = await db.request("POST", "/_changes", params=params, body={"doc_ids": list(asked)})
        for found in answer["results"]:
            if found["id"] in asked:
                asked[found["id"]]["changes"] = found["changes"]

    async def _with_docs(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """The rows with their documents, each judged by its body; what is not the caller's by now is left out."""
        live = [row["id"] for row in rows if "deleted" not in row]
        db = self.request.config_dict[DB]
        found = await db.all_docs(live, include_docs=True, **doc_options(self.request)) if live else []
        docs = {row["id"]: row["doc"] for row in found if row.get("doc")}
        facts: list[Facts] = [facts_of(doc) for doc in docs.values()]
        verdicts = await judge(self.request, self.scope, facts)
        allowed = {each.id for each, verdict in zip(facts, verdicts, strict=True) if verdict}
        kept: list[dict[str, Any]] = []
        for row in rows:
            if "deleted" in row:
                stub = {"_id": row["id"], "_rev": row["changes"][0]["rev"], "_deleted": True}
                kept.append({**row, "doc": stub})
            elif row["id"] in allowed:
                kept.append({**row, "doc": docs[row["id"]]})
        return kept


def change_row(seq: str, row: Row) -> dict[str, Any]:
    found: dict[str, Any] = {"seq": seq, "id": row.id, "changes": [{"rev": row.rev}]}
    return {**found, "deleted": True} if row.deleted else found
