"""Reading documents of one database file: rows, bodies and the computed members a client can ask for."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from sqlite3 import Connection
from typing import Any, NamedTuple

import orjson

from store import revtree
from store.documents import revisions_member, splice, stubs
from store.errors import NotFound
from store.revtree import Node, Tree


@dataclass(frozen=True, slots=True)
class DocOptions:
    """Which computed members to add to a document; CouchDB's query parameters of the same names."""

    revs: bool = False
    revs_info: bool = False
    conflicts: bool = False
    deleted_conflicts: bool = False
    local_seq: bool = False
    attachments: bool = False
    atts_since: tuple[str, ...] | None = None
    att_encoding_info: bool = False
    latest: bool = False
    hide: Callable[[bytes], bytes] | None = None  # what of a body this caller is not shown is taken out by it

    @property
    def needs_tree(self) -> bool:
        return self.revs or self.revs_info or self.conflicts or self.deleted_conflicts or self.atts_since is not None

    @property
    def adds_only_revisions(self) -> bool:
        """Whether the one leaf of a document that has no other is shown with no more than `_revisions`."""
        return not (self.revs_info or self.local_seq or self.attachments or self.atts_since is not None or self.hide)


PLAIN = DocOptions()


class Row(NamedTuple):
    """A document's row: its winner and its tree; `json` and `attachments` are the winner's content, if it was read."""

    seq: int
    id: str
    rev: str
    deleted: int
    leaves: int
    body: int
    tree: bytes
    json: bytes | None = None
    attachments: bytes | None = None


class Revision(NamedTuple):
    """One revision with its content. `attachments`: {name: {content_type, revpos, digest, length}}."""

    id: str
    rev: str
    deleted: bool
    body: bytes
    attachments: dict[str, dict[str, Any]]


def find(conn: Connection, doc_id: str) -> Row | None:
    """The row of a document, deleted ones included."""
    row = conn.execute("SELECT seq, id, rev, deleted, leaves, body, tree FROM docs WHERE id = ?", (doc_id,)).fetchone()
    return Row(*row) if row else None


def among(ids: Iterable[str]) -> tuple[str, str]:
    """SQL for `IN` of so many ids, and its one argument."""
    chosen = list(ids)
    listed = orjson.dumps(chosen).decode()
    if "\\u0000" not in listed:
        return "(SELECT value FROM json_each(?))", listed
    # SQLite ends the strings of JSON at a NUL; what stands for it is in no id.
    length = 1
    while (mark := "\ue000" + "\ue001" * length) in listed:
        length *= 2
    marked = orjson.dumps([doc_id.replace("\0", mark) for doc_id in chosen]).decode()
    return f"(SELECT replace(value, '{mark}', char(0)) FROM json_each(?))", marked


def find_many(conn: Connection, ids: Iterable[str], *, contents: bool = False) -> dict[str, Row]:
    """The rows of those ids that exist, with the contents of their winners when those are wanted."""
    listed, asked = among(ids)
    if not contents:
        rows = conn.execute(
            f"SELECT seq, id, rev, deleted, leaves, body, tree FROM docs WHERE id IN {listed}", (asked,)
        )
        return {row[1]: Row(*row) for row in rows}
    rows = conn.execute(
        "SELECT d.seq, d.id, d.rev, d.deleted, d.leaves, d.body, d.tree, b.body, b.attachments"
        f" FROM docs d LEFT JOIN bodies b ON b.num = d.body WHERE d.id IN {listed}",
        (asked,),
    )
    return {row[1]: Row._make(row) for row in rows}


def _content(body: bytes, attachments: bytes | None) -> tuple[bytes, dict[str, dict[str, Any]]]:
    return body, orjson.loads(attachments) if attachments else {}


def body_of(conn: Connection, num: int) -> tuple[bytes, dict[str, dict[str, Any]]] | None:
    """The body and attachments stored under a number; None when they were compacted away."""
    row = conn.execute("SELECT body, attachments FROM bodies WHERE num = ?", (num,)).fetchone()
    return None if row is None else _content(*row)


def plain_winner(conn: Connection, doc_id: str) -> tuple[str, bytes] | None:
    """Revision and JSON of a live document without any option: the path nearly every read takes. None: not live."""
    row = conn.execute(
        "SELECT d.rev, d.deleted, b.body, b.attachments FROM docs d JOIN bodies b ON b.num = d.body WHERE d.id = ?",
        (doc_id,),
    ).fetchone()
    if row is None or row[1]:
        return None
    extra = [(b"_attachments", stubs(orjson.loads(row[3])))] if row[3] else []
    return row[0], splice(doc_id, row[0], row[2], extra=extra)


def open_revision(conn: Connection, row: Row | None, doc_id: str, rev: str | None, *, latest: bool) -> Revision:
    """A revision's content: the winner, or the one named. Raises NotFound `missing` or `deleted` as CouchDB does."""
    if row is None:
        raise NotFound("missing")
    if rev is None:
        if row.deleted:
            raise NotFound("deleted")
        rev, num, deleted = row.rev, row.body, False
    else:
        tree = revtree.decode(row.tree)
        if latest and rev in tree:
            rev = revtree.latest_leaves(tree, rev)[0].rev
        node = tree.get(rev)
        if node is None:
            raise NotFound("missing")
        num, deleted = node.body, node.deleted
    found = body_of(conn, num) if num else None
    if found is None:
        raise NotFound("missing")
    return Revision(doc_id, rev, deleted, *found)


def render(conn: Connection, mark: str, row: Row, revision: Revision, options: DocOptions = PLAIN) -> bytes:
    """A revision as JSON with the computed members asked for."""
    if options is PLAIN and not revision.attachments:
        return splice(revision.id, revision.rev, revision.body, deleted=revision.deleted)
    extra: list[tuple[bytes, bytes]] = []
    tree = revtree.decode(row.tree) if options.needs_tree else {}
    if options.revs:
        extra.append((b"_revisions", orjson.dumps(revisions_member(revtree.history(tree, revision.rev)))))
    if options.revs_info:
        extra.append((b"_revs_info", orjson.dumps(_revs_info(conn, tree, revision.rev))))
    if options.local_seq:
        extra.append((b"_local_seq", b"%d" % row.seq))
    if options.conflicts or options.deleted_conflicts:
        others = [leaf for leaf in revtree.leaves(tree) if leaf.rev != revision.rev]
        live = [leaf.rev for leaf in others if not leaf.deleted]
        gone = [leaf.rev for leaf in others if leaf.deleted]
        if live and options.conflicts:
            extra.append((b"_conflicts", orjson.dumps(live)))
        if gone and options.deleted_conflicts:
            extra.append((b"_deleted_conflicts", orjson.dumps(gone)))
    if revision.attachments:
        extra.append((b"_attachments", _attachments_member(conn, tree, revision, options)))
    body = revision.body if options.hide is None else options.hide(revision.body)
    return splice(revision.id, revision.rev, body, deleted=revision.deleted, extra=extra)


def lone_leaves(conn: Connection, ids: Iterable[str], *, revs: bool) -> dict[str, tuple[str, bytes]]:
    """Revision and JSON of those of these documents that have but one leaf, as nearly all have; by id.

    The JSON has stubs of attachments and, with `revs`, `_revisions`.
    """
    listed, asked = among(ids)
    rows = conn.execute(
        f"SELECT d.id, d.rev, d.deleted, b.body, b.attachments, {'d.tree' if revs else 'NULL'}"
        f" FROM docs d JOIN bodies b ON b.num = d.body WHERE d.id IN {listed} AND d.leaves = 1",
        (asked,),
    )
    found: dict[str, tuple[str, bytes]] = {}
    for doc_id, rev, deleted, body, attachments, tree in rows:
        if tree is None and attachments is None and not deleted:  # spares what the others need
            found[doc_id] = rev, splice(doc_id, rev, body)
            continue
        extra = [] if tree is None else [(b"_revisions", revtree.revisions_of_lone_leaf(tree))]
        if attachments is not None:
            extra.append((b"_attachments", stubs(orjson.loads(attachments))))
        found[doc_id] = rev, splice(doc_id, rev, body, deleted=deleted == 1, extra=extra)
    return found


def with_data(tree: Tree, revision: Revision, options: DocOptions) -> set[str]:
    """The names of the attachments whose data is to be sent, after `atts_since` took out what the client has."""
    if options.atts_since is not None:
        ancestors = set(revtree.history(tree, revision.rev))
        known = max((revtree.generation(rev) for rev in options.atts_since if rev in ancestors), default=0)
        return {name for name, stored in revision.attachments.items() if stored["revpos"] > known}
    return set(revision.attachments) if options.attachments else set()


def blob(conn: Connection, digest: str) -> bytes:
    """The content of a digest; raises NotFound when it is not stored."""
    row = conn.execute("SELECT data FROM blobs WHERE digest = ?", (digest,)).fetchone()
    if row is None:
        raise NotFound("missing")
    data: bytes = row[0]
    return data


def _attachments_member(conn: Connection, tree: Tree, revision: Revision, options: DocOptions) -> bytes:
    sent = with_data(tree, revision, options)
    if not sent:
        return stubs(revision.attachments)
    shown: dict[str, dict[str, Any]] = {}
    for name, stored in revision.attachments.items():
        if name in sent:
            data = base64.b64encode(blob(conn, stored["digest"])).decode()
            shown[name] = {key: value for key, value in stored.items() if key != "length"} | {"data": data}
        else:
            shown[name] = {**stored, "stub": True}
    return orjson.dumps(shown)


def _revs_info(conn: Connection, tree: Tree, rev: str) -> list[dict[str, str]]:
    path = revtree.history(tree, rev)
    numbers = [tree[each].body for each in path if tree[each].body]
    stored = {
        row[0]
        for row in conn.execute(
            "SELECT num FROM bodies WHERE num IN (SELECT value FROM json_each(?))", (orjson.dumps(numbers).decode(),)
        )
    }
    return [{"rev": each, "status": _status(tree[each], stored)} for each in path]


def _status(node: Node, stored: set[int]) -> str:
    if node.body not in stored:
        return "missing"
    return "deleted" if node.deleted else "available"


def open_revs(
    conn: Connection, row: Row | None, doc_id: str, revs: Sequence[str] | None, *, latest: bool
) -> list[Revision | str]:
    """The revisions asked for (None: every leaf, the winner first); a rev that is not here comes back as its name."""
    if row is None:
        return list(revs or ())
    if row.json is not None and row.leaves == 1 and (revs is None or list(revs) == [row.rev]):
        content = _content(row.json, row.attachments)
        return [Revision(row.id, row.rev, row.deleted == 1, *content)]  # nearly always: no tree to unfold
    tree = revtree.decode(row.tree)
    if revs is None:
        wanted = [leaf.rev for leaf in revtree.leaves(tree)]
    elif latest:
        wanted = []
        for rev in revs:
            grown = [leaf.rev for leaf in revtree.latest_leaves(tree, rev)] if rev in tree else [rev]
            wanted += [leaf for leaf in grown if leaf not in wanted]
    else:
        wanted = list(revs)
    opened: list[Revision | str] = []
    for rev in wanted:
        node = tree.get(rev)
        found = body_of(conn, node.body) if node is not None and node.body else None
        opened.append(rev if node is None or found is None else Revision(doc_id, rev, node.deleted, *found))
    return opened
