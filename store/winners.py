"""The winning revisions of a database as its view indexes read them, on their own threads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from sqlite3 import Connection
from typing import Any

import orjson

from store import reads, revtree
from store.database import Database
from store.documents import splice, stubs
from store.errors import NotFound
from store.reads import DocOptions
from store.source import Winner
from store.view_query import ViewParams
from store.view_read import DocRef


class Winners:
    """A store.source.DocSource over a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def winners_since(self, seq: int, limit: int) -> list[Winner]:
        """At most `limit` winners changed after `seq`, in seq order."""
        with self._database.reader() as conn:
            conn.execute("BEGIN")  # both reads see the same moment
            try:
                rows = conn.execute(
                    "SELECT d.seq, d.id, d.rev, d.deleted, d.leaves, d.tree, b.body, b.attachments"
                    " FROM docs d LEFT JOIN bodies b ON b.num = d.body WHERE d.seq > ? ORDER BY d.seq LIMIT ?",
                    (seq, limit),
                ).fetchall()
                purged = conn.execute(
                    "SELECT seq, id, '', 1, 1, NULL, NULL, NULL FROM purged_docs WHERE seq > ? ORDER BY seq LIMIT ?",
                    (seq, limit),
                ).fetchall()
            finally:
                conn.execute("COMMIT")
        if purged:
            rows = sorted(rows + purged)[:limit]
        return [_winner(*row) for row in rows]

    def update_seq(self) -> int:
        """The newest committed seq."""
        return self._database.update_seq

    def docs_by_id(self, ids: Sequence[str]) -> dict[str, bytes | None]:
        """Winning bodies by id; None for a deleted document, no member for an unknown one."""
        listed, asked = reads.among(ids)
        with self._database.reader() as conn:
            rows = conn.execute(
                "SELECT d.id, d.rev, d.deleted, b.body, b.attachments FROM docs d LEFT JOIN bodies b ON b.num = d.body"
                f" WHERE d.id IN {listed}",
                (asked,),
            ).fetchall()
        return {row[0]: None if row[2] else _whole(row[0], row[1], row[3], row[4]) for row in rows}

    def read_docs(self, refs: Sequence[DocRef], params: ViewParams) -> Mapping[Any, bytes | None]:
        """The documents of `include_docs` with the members that the query asks for; None for what is not there."""
        ids = [ref for ref in refs if isinstance(ref, str)]
        plain = not (params.conflicts or params.attachments)
        docs: dict[Any, bytes | None] = self.docs_by_id(ids) if plain else {}
        rest = [(ref, None) if isinstance(ref, str) else ref for ref in refs if not (plain and isinstance(ref, str))]
        if rest:
            options = DocOptions(conflicts=params.conflicts, attachments=params.attachments)
            with self._database.reader() as conn:
                rows = reads.find_many(conn, {doc_id for doc_id, _ in rest})
                for doc_id, rev in rest:
                    shown = self._shown(conn, rows.get(doc_id), doc_id, rev, options)
                    docs[doc_id if rev is None else (doc_id, rev)] = shown
        return docs

    def _shown(
        self, conn: Connection, row: reads.Row | None, doc_id: str, rev: str | None, options: DocOptions
    ) -> bytes | None:
        try:
            revision = reads.open_revision(conn, row, doc_id, rev, latest=False)
        except NotFound:
            return None
        assert row is not None
        return reads.render(conn, self._database.mark, row, revision, options)


def _whole(doc_id: str, rev: str, body: bytes, attachments: bytes | None) -> bytes:
    extra = [(b"_attachments", stubs(orjson.loads(attachments)))] if attachments else []
    return splice(doc_id, rev, body, extra=extra)


def _winner(
    seq: int,
    doc_id: str,
    rev: str,
    deleted: int,
    leaves: int,
    tree: bytes,
    body: bytes,
    attachments: bytes | None,
) -> Winner:
    if deleted:
        return Winner(seq, doc_id, True, b"")
    conflicts: tuple[str, ...] = ()
    if leaves > 1:
        conflicts = tuple(leaf.rev for leaf in revtree.leaves(revtree.decode(tree))[1:] if not leaf.deleted)
    return Winner(seq, doc_id, False, _whole(doc_id, rev, body, attachments), conflicts)
