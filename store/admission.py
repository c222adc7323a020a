"""What a write has to pass: design document rights, user document rules, validate functions."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from sqlite3 import Connection

import orjson

from store import reads, replicator_docs, revtree
from store.database import Database, DesignDoc
from store.ddoc_check import check_design_doc
from store.documents import Edit, revisions_member, splice
from store.edits import Outcome
from store.errors import StoreError
from store.passwords import hash_password
from store.permissions import User, is_db_admin, require_db_admin
from store.reads import DocOptions
from store.service import Store
from store.user_docs import check_user_doc, require_readable, take_password

_WITH_REVISIONS = DocOptions(revs=True)


async def write(store: Store, database: Database, user: User, edits: Sequence[Edit]) -> list[Outcome]:
    """Check and store edits, all in one transaction; one outcome per edit, in order. Refusals are never raised."""
    refusals: dict[int, StoreError] = {}
    for index, edit in enumerate(edits):
        if edit.is_design or (edit.is_local and database.name == "_users"):
            try:
                require_db_admin(user, database.security)
                if edit.is_design and not edit.deleted:
                    await check_design_doc(orjson.loads(edit.body), store.javascript.engine(edit.body))
            except StoreError as error:
                refusals[index] = error
    ordinary = [index for index, edit in enumerate(edits) if not edit.is_design and not edit.is_local]
    if database.name == "_users" and ordinary:
        await _admit_users(store, database, user, edits, ordinary, refusals)
    if database.name == replicator_docs.DATABASE and ordinary:
        _admit_replications(database, user, edits, ordinary, refusals)
    validators = [ddoc for ddoc in database.design_docs() if isinstance(ddoc.doc.get("validate_doc_update"), str)]
    if validators and ordinary:
        await _validate(store, database, user, validators, edits, ordinary, refusals)
    if not refusals:
        return await database.update(edits)
    allowed = [edit for index, edit in enumerate(edits) if index not in refusals]
    written = iter(await database.update(allowed) if allowed else ())
    return [refusals[index] if index in refusals else next(written) for index in range(len(edits))]


async def _admit_users(
    store: Store,
    database: Database,
    user: User,
    edits: Sequence[Edit],
    ordinary: Sequence[int],
    refusals: dict[int, StoreError],
) -> None:
    """Hash passwords and apply the rules of user documents."""

    async def admit(index: int) -> None:
        edit = edits[index]
        try:
            require_readable(user, edit.id)
            doc = orjson.loads(edit.body)
            password = take_password(doc)
            if password is not None:
                loop = asyncio.get_running_loop()
                iterations = store.accounts.iterations
                doc.pop("password_sha", None)
                doc |= await loop.run_in_executor(store.password_executor, hash_password, password, iterations)
            found = reads.plain_winner(database.conn, edit.id)
            old = orjson.loads(found[1]) if found else None
            check_user_doc({**doc, "_id": edit.id, "_deleted": edit.deleted}, old, user)
            edit.body = orjson.dumps(doc)
        except StoreError as error:
            refusals[index] = error

    await asyncio.gather(*(admit(index) for index in ordinary))


def _admit_replications(
    database: Database, user: User, edits: Sequence[Edit], ordinary: Sequence[int], refusals: dict[int, StoreError]
) -> None:
    """Apply the rules of documents that describe replications."""
    is_admin = is_db_admin(user, database.security)
    for index in ordinary:
        edit = edits[index]
        doc = orjson.loads(edit.body)
        found = reads.plain_winner(database.conn, edit.id)
        old = orjson.loads(found[1]) if found else None
        try:
            admitted = replicator_docs.admit({**doc, "_deleted": edit.deleted}, old, user, is_admin=is_admin)
        except StoreError as error:
            refusals[index] = error
        else:
            del admitted["_deleted"]
            edit.body = orjson.dumps(admitted) if admitted != doc else edit.body


async def _validate(
    store: Store,
    database: Database,
    user: User,
    validators: Sequence[DesignDoc],
    edits: Sequence[Edit],
    ordinary: Sequence[int],
    refusals: dict[int, StoreError],
) -> None:
    """Run every `validate_doc_update` over every edit; the first refusal of an edit stands."""
    indexes = [index for index in ordinary if index not in refusals]
    chosen = [edits[index] for index in indexes]
    old_docs = await database.read(lambda conn: [_old_doc(database, conn, edit) for edit in chosen])
    pairs = [(_as_javascript_sees(edit), old) for edit, old in zip(chosen, old_docs, strict=True)]
    context = user.context(database.name)
    for ddoc in validators:
        engine = store.javascript.engine(ddoc.source)
        source = ddoc.doc["validate_doc_update"]
        results = await engine.validate_docs(source, pairs, context, database.security, ddoc.source)
        for index, refusal in zip(indexes, results, strict=True):
            if refusal is not None:
                refusals.setdefault(index, refusal)


def _old_doc(database: Database, conn: Connection, edit: Edit) -> bytes | None:
    """The stored revision an edit builds on, None when there is none."""
    row = reads.find(conn, edit.id)
    if row is None:
        return None
    tree = revtree.decode(row.tree)
    if edit.path is None:
        rev = edit.rev or row.rev
    else:
        rev = next((known for known in edit.path[1:] if known in tree and tree[known].body), "")
    try:
        revision = reads.open_revision(conn, row, edit.id, rev, latest=False)
    except StoreError:
        return None
    return reads.render(conn, database.mark, row, revision, _WITH_REVISIONS)


def _as_javascript_sees(edit: Edit) -> bytes:
    """The new document as `validate_doc_update` gets it: with the revision it was sent with."""
    path = edit.path or ([edit.rev] if edit.rev else [])
    extra: list[tuple[bytes, bytes]] = []
    if path:
        extra.append((b"_revisions", orjson.dumps(revisions_member(path))))
    if edit.attachments:
        shown = {
            name: {"content_type": item.content_type, "digest": item.digest, "length": item.length, "stub": True}
            for name, item in edit.attachments.items()
        }
        extra.append((b"_attachments", orjson.dumps(shown)))
    return splice(edit.id, path[0] if path else None, edit.body, deleted=edit.deleted, extra=extra)
