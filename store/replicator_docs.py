"""What CouchDB asks of a document in `_replicator`, and what of it each caller may read or write. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
from yarl import URL

from store.errors import BadRequest, Forbidden, StoreError
from store.permissions import User
from store.replication_request import ReplicationRequest, parse_request

DATABASE = "_replicator"
REPLICATOR = User(roles=("_admin", "_replicator"))  # who notes in a document how its replication went
WRITTEN_BY_US = (
    "_replication_id",
    "_replication_state",
    "_replication_state_time",
    "_replication_state_reason",
    "_replication_stats",
)
_NOT_YOURS = "Can't update replication documents from other users."


def read_doc(doc: Mapping[str, Any]) -> tuple[ReplicationRequest, User]:
    """The replication a document describes, and as whom it reads and writes local databases; BadRequest."""
    return parse_request({name: value for name, value in doc.items() if name not in WRITTEN_BY_US}), _user_of(doc)


def admit(doc: Mapping[str, Any], old: Mapping[str, Any] | None, user: User, *, is_admin: bool) -> dict[str, Any]:
    """The document as it is to be stored: with its owner and, unless a server admin wrote it, whose rights it has.

    `is_admin` says that the writer administers this database. Raises Forbidden for one that describes no replication,
    or belongs to somebody else, or asks for rights that its writer has not.
    """
    admitted = dict(doc)
    if "_replicator" in user.roles:
        return admitted
    if not is_admin and old is not None and old.get("owner") != user.name:
        raise Forbidden(_NOT_YOURS)
    if doc.get("_deleted"):
        return admitted
    try:
        _, runs_as = read_doc(doc)
    except StoreError as error:
        raise Forbidden(error.reason) from error
    if admitted.get("owner") is None and user.name is not None:
        admitted["owner"] = user.name
    if not is_admin and admitted["owner"] != user.name:
        raise Forbidden(_NOT_YOURS)
    if user.is_server_admin:
        return admitted
    if doc.get("user_ctx") is None:  # databases of this server are opened without a password: never as an administrator
        admitted["user_ctx"] = user.context()
    elif runs_as.name != user.name or not set(runs_as.roles) <= set(user.roles):
        raise Forbidden("`user_ctx` may only name yourself and roles of your own.")
    return admitted


def owner(body: bytes) -> Any:
    """Whose replication a document is."""
    return orjson.loads(body).get("owner")


def without_credentials(body: bytes) -> bytes:
    """The same document for other eyes: no passwords in addresses, no headers, no `auth`."""
    doc = orjson.loads(body)
    for side in ("source", "target"):
        if isinstance(doc.get(side), dict):
            doc[side] = {name: value for name, value in doc[side].items() if name not in ("headers", "auth")}
            if isinstance(doc[side].get("url"), str):
                doc[side]["url"] = _bare_url(doc[side]["url"])
        elif isinstance(doc.get(side), str):
            doc[side] = _bare_url(doc[side])
    return orjson.dumps(doc)


def _bare_url(text: str) -> str:
    try:
        url = URL(text, encoded=True)
    except ValueError:
        return ""
    return str(url.with_user(None)) if url.absolute else text


def _user_of(doc: Mapping[str, Any]) -> User:
    """`user_ctx`; without it an administrator, who alone can write a document that has none."""
    context = doc.get("user_ctx")
    if context is None:
        return User(roles=("_admin",))
    name, roles = (context.get("name"), context.get("roles", [])) if isinstance(context, dict) else (None, None)
    if not isinstance(name, str | None) or not isinstance(roles, list) or not all(isinstance(r, str) for r in roles):
        raise BadRequest("`user_ctx` must be an object with a `name` and a list of `roles`")
    return User(name, tuple(roles))
