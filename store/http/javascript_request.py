"""`req`: a request as the functions of design documents see it."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

from store.database import Database
from store.http.call import Call
from store.http.databases import database_info

_CREDENTIALS = frozenset({"Authorization", "Cookie"})


def javascript_request(
    call: Call, database: Database, *, doc_id: str | None = None, body: bytes | None = None
) -> dict[str, Any]:
    """The request object of CouchDB's documentation; `body` None: the request has none."""
    headers = call.request.headers
    path = call.request.path.strip("/").split("/")
    text = "undefined" if body is None else body.decode("utf-8", "replace")
    is_form = call.request.content_type == "application/x-www-form-urlencoded"
    return {
        "info": database_info(database),
        "uuid": uuid.uuid4().hex,
        "id": doc_id,
        "method": call.method,
        "requested_path": path,
        "path": path,
        "raw_path": call.request.path_qs,
        "query": _texts(call.query),
        "headers": _texts({name: value for name, value in headers.items() if name not in _CREDENTIALS}),
        "body": text,
        "peer": call.request.remote,
        "form": dict(parse_qsl(text)) if is_form and body is not None else {},
        "cookie": _texts({name: value for name, value in call.request.cookies.items() if name != "AuthSession"}),
        "userCtx": call.user.context(database.name),
        "secObj": database.security,
    }


def _texts(values: Mapping[str, str]) -> dict[str, str]:
    """Without the marks that stand for bytes that are no UTF-8, which have no place in JSON."""
    return {_text(name): _text(value) for name, value in values.items()}


def _text(value: str) -> str:
    return value.encode("utf-8", "replace").decode()
