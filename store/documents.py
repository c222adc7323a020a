"""Documents between the wire and the file: a client's JSON becomes an edit, what is stored becomes CouchDB's JSON."""

from __future__ import annotations

import base64
import hashlib
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import IO, Any

import orjson

from store.errors import BadRequest, DocValidation, StoreError
from store.revtree import parse_rev

MAX_DOCUMENT_BYTES = 8_000_000  # CouchDB's max_document_size
UNKNOWN_LENGTH = -1  # of an attachment that follows

# Members CouchDB computes; a client that sends them back is not wrong, and nothing of them is kept.
_COMPUTED = frozenset({"_revs_info", "_local_seq", "_conflicts", "_deleted_conflicts"})
_REPLICATOR = frozenset(
    {
        "_replication_id",
        "_replication_state",
        "_replication_state_time",
        "_replication_state_reason",
        "_replication_stats",
    }
)


@dataclass(slots=True)
class Incoming:
    """One attachment of an edit: new data, data that follows in a multipart body, or a stub of what is stored.

    With a digest and no data it is content that the database has already.
    """

    content_type: str = "application/octet-stream"
    data: bytes | None = None
    file: IO[bytes] | None = None  # instead of data, where it is too long for the memory
    digest: str | None = None
    length: int = 0  # of the data; while it is still to follow, as announced
    revpos: int | None = None
    stub: bool = False
    follows: bool = False
    encoding: str | None = None


@dataclass(slots=True)
class Edit:
    """One document to write.

    `rev` is the revision it builds on (None: a new document). `path` is set instead for a revision made elsewhere
    (`new_edits=false`): the revision and its ancestors, newest first. `body` is a JSON object without reserved members.
    """

    id: str
    rev: str | None = None
    path: list[str] | None = None
    deleted: bool = False
    body: bytes = b"{}"
    attachments: dict[str, Incoming] = field(default_factory=dict)

    def close(self) -> None:
        """Let go of the files its attachments came in."""
        for item in self.attachments.values():
            if item.file is not None:
                item.file.close()

    @property
    def is_local(self) -> bool:
        return self.id.startswith("_local/")

    @property
    def is_design(self) -> bool:
        return self.id.startswith("_design/")


def load_json(raw: bytes | bytearray | memoryview) -> Any:
    """Parsed JSON; raises BadRequest as CouchDB does when it is not."""
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise BadRequest("invalid UTF-8 JSON") from error


def load_object(raw: bytes | bytearray | memoryview, what: str = "Request body") -> dict[str, Any]:
    """A parsed JSON object; raises BadRequest naming `what` otherwise."""
    value = load_json(raw)
    if not isinstance(value, dict):
        raise BadRequest(f"{what} must be a JSON object")
    return value


def new_id() -> str:
    """A document id nobody has used; ids made close together sort close together."""
    return uuid.uuid4().hex


def check_id(doc_id: object) -> str:
    """The document id, when CouchDB would accept it; raises 400 `illegal_docid` saying what is wrong with it."""
    if not isinstance(doc_id, str):
        raise _illegal("Document id must be a string")
    if not doc_id:
        raise _illegal("Document id must not be empty")
    if doc_id[0] == "_":
        for prefix in ("_design/", "_local/"):
            if doc_id.startswith(prefix):
                if len(doc_id) == len(prefix):
                    raise _illegal(f"Illegal document id `{prefix}`")
                return doc_id
        raise _illegal("Only reserved document ids may start with underscore.")
    return doc_id


def parse_edit(doc: Any, *, doc_id: str | None = None, rev: str | None = None, new_edits: bool = True) -> Edit:
    """Read a document as a client sent it (it is emptied of its reserved members).

    `doc_id` from the address overrides `_id`; without either an id is made. `rev`, named beside the document, is for
    one without `_rev`. Raises BadRequest or DocValidation.
    """
    if not isinstance(doc, dict):
        raise BadRequest("Document must be a JSON object")
    if rev is not None:
        doc.setdefault("_rev", rev)
    given_id = check_id(doc.pop("_id")) if "_id" in doc else None
    edit = Edit(doc_id or given_id or new_id())
    if "_rev" in doc:
        rev = doc.pop("_rev")
        edit.rev = parse_local_rev(rev) if edit.is_local else parse_rev(rev)
    revisions = doc.pop("_revisions", None)
    if revisions is not None and not isinstance(revisions, dict):
        raise _bad_member("_revisions")
    if revisions is not None and not new_edits and not edit.is_local:
        edit.path = _parse_path(revisions)
    deleted = doc.pop("_deleted", False)
    if not isinstance(deleted, bool):
        raise _bad_member("_deleted")
    edit.deleted = deleted
    if "_attachments" in doc:
        edit.attachments = _parse_attachments(doc.pop("_attachments"))
    for name in [name for name in doc if name[:1] == "_"]:
        if name in _COMPUTED:
            del doc[name]
        elif name not in _REPLICATOR:
            raise _bad_member(name)
    if not new_edits and not edit.is_local:
        if edit.path is None:
            if edit.rev is None:
                raise BadRequest("When `new_edits: false`, the document needs `_rev` or `_revisions` specified")
            edit.path = [edit.rev]
        edit.rev = None
    edit.body = _dumped(doc, edit.id)
    if len(edit.body) > MAX_DOCUMENT_BYTES:
        raise StoreError(edit.id, slug="document_too_large", status=413)
    return edit


def _dumped(doc: dict[str, Any], doc_id: str) -> bytes:
    try:
        return orjson.dumps(doc)
    except orjson.JSONEncodeError as error:  # it reads deeper nesting than it writes
        raise BadRequest(f"Document {doc_id} is nested more than 254 levels deep") from error


def parse_local_rev(rev: object) -> str:
    """A revision of a `_local` document, `0-<number>`; raises BadRequest otherwise."""
    if isinstance(rev, str) and rev.startswith("0-") and rev[2:].isascii() and rev[2:].isdigit() and len(rev) < 18:
        return rev
    raise BadRequest("Invalid rev format")


def _parse_path(revisions: dict[str, Any]) -> list[str]:
    start, ids = revisions.get("start"), revisions.get("ids")
    if not isinstance(start, int) or isinstance(start, bool):
        raise DocValidation("_revisions.start isn't an integer.")
    if not isinstance(ids, list) or not ids:
        raise DocValidation("_revisions.ids isn't a array.")
    if not all(isinstance(rev_id, str) for rev_id in ids):
        raise DocValidation("RevId isn't a string")
    if start < len(ids):
        raise DocValidation("_revisions.start is smaller than the number of _revisions.ids")
    return [parse_rev(f"{start - index}-{rev_id}") for index, rev_id in enumerate(ids)]


def _parse_attachments(attachments: Any) -> dict[str, Incoming]:
    if not isinstance(attachments, dict):
        raise _bad_member("_attachments")
    return {check_attachment_name(name): _parse_attachment(name, value) for name, value in attachments.items()}


def check_attachment_name(name: str) -> str:
    """The attachment name, when CouchDB would accept it; raises BadRequest otherwise."""
    if not name:
        raise BadRequest("Attachment name must not be empty")
    if name[0] == "_":
        raise BadRequest(f"Attachment name '{name}' starts with prohibited character '_'")
    return name


def _parse_attachment(name: str, value: Any) -> Incoming:
    if not isinstance(value, dict):
        raise DocValidation(f"Attachment {name} must be a JSON object")
    incoming = Incoming()
    content_type = value.get("content_type", "application/octet-stream")
    if not isinstance(content_type, str) or not content_type.isprintable():
        raise DocValidation(f"content_type of attachment {name} must be a string")
    incoming.content_type = content_type
    revpos = value.get("revpos")
    if revpos is not None:
        if not isinstance(revpos, int) or isinstance(revpos, bool) or not 0 <= revpos < 10**15:
            raise DocValidation(f"revpos of attachment {name} must be an integer")
        incoming.revpos = revpos
    encoding = value.get("encoding")
    if encoding not in (None, "gzip", "identity"):
        raise DocValidation(f"encoding of attachment {name} must be gzip")
    incoming.encoding = encoding
    if value.get("stub") is True:
        incoming.stub = True
    elif value.get("follows") is True:
        incoming.follows = True
        length = value.get("encoded_length" if encoding == "gzip" else "length")
        incoming.length = length if isinstance(length, int) else UNKNOWN_LENGTH
    else:
        data = value.get("data")
        text = "".join(data.split()) if isinstance(data, str) else "?"  # MIME encoders break lines
        try:
            set_data(incoming, base64.b64decode(text, validate=True))
        except ValueError:
            raise BadRequest(f"Invalid attachment data for {name}") from None
    return incoming


def set_data(incoming: Incoming, data: bytes) -> None:
    """Give an attachment its bytes, and the digest and length that follow from them."""
    incoming.data = data
    incoming.digest = content_digest(data)
    incoming.length = len(data)


def content_digest(data: bytes) -> str:
    """`md5-<base64>`, the name CouchDB gives to content."""
    return "md5-" + base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()


def splice(
    doc_id: str,
    rev: str | None,
    body: bytes,
    *,
    deleted: bool = False,
    extra: Sequence[tuple[bytes, bytes]] = (),
) -> bytes:
    """The document as JSON: reserved members put around the stored body without parsing it.

    `extra` are further reserved members as name and JSON value (`_attachments`, `_conflicts`, ...).
    """
    if rev is not None and not deleted and not extra and body != b"{}":  # nearly always
        return b'{"_id":%b,"_rev":%b,%b' % (orjson.dumps(doc_id), orjson.dumps(rev), body[1:])
    parts: list[bytes | memoryview] = [b'{"_id":', orjson.dumps(doc_id)]
    if rev is not None:
        parts += (b',"_rev":', orjson.dumps(rev))
    if deleted:
        parts.append(b',"_deleted":true')
    if body != b"{}":
        parts += (b",", memoryview(body)[1:-1])
    for name, value in extra:
        parts += (b',"', name, b'":', value)
    parts.append(b"}")
    return b"".join(parts)


def stubs(attachments: Mapping[str, Mapping[str, Any]]) -> bytes:
    """`_attachments` as CouchDB shows it when the data was not asked for."""
    return orjson.dumps({name: {**stored, "stub": True} for name, stored in attachments.items()})


def revisions_member(path: Sequence[str]) -> dict[str, Any]:
    """`_revisions` of a revision whose history, newest first, is `path`."""
    start, _, _ = path[0].partition("-")
    return {"start": int(start), "ids": [rev.partition("-")[2] for rev in path]}


def _bad_member(name: str) -> DocValidation:
    return DocValidation(f"Bad special document member: {name}")


def _illegal(reason: str) -> StoreError:
    return StoreError(reason, slug="illegal_docid", status=400)
