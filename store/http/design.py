"""Functions of design documents that answer requests: shows, lists and updates."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import orjson
from aiohttp import web

from store import reads
from store.database import Database, DesignDoc
from store.documents import load_object, parse_edit
from store.errors import NotFound, NotImplementedByStore, StoreError, TooLarge
from store.http.call import JSON, STANDARD_HEADERS, Call
from store.http.documents import write_one
from store.http.javascript_request import javascript_request
from store.permissions import require_reader_of_all
from store.view_query import ViewParams

_MOST_ROWS_BYTES = 16 * 1024 * 1024  # a list function gets its rows at once, in an engine of limited memory
_RESPONSE_MEMBERS = frozenset({"code", "headers", "body", "base64", "json"})


async def update(call: Call, database: Database, ddoc_id: str) -> web.Response:
    """PUT, POST or DELETE /{db}/_design/{ddoc}/_update/{function}[/{docid}]: write what is made of the document."""
    if not call.rest:
        raise StoreError("Invalid path.", slug="update_error", status=404)
    ddoc, source = _function(call, database, ddoc_id, "updates")
    doc_id = "/".join(call.rest[1:]) or None
    request = javascript_request(call, database, doc_id=doc_id, body=await call.body())
    made = await call.store.javascript.engine(source).run_page(
        "update", source, ddoc.source, _document(database, doc_id), orjson.dumps(request)
    )
    status, headers = 200, {}
    if made["doc"] is not None:
        edit = parse_edit(made["doc"])
        result = await write_one(call, database, edit)
        status = 201
        headers = {"X-Couch-Id": quote(result.id, safe=" /:"), "X-Couch-Update-NewRev": result.rev}
    return _response(made["response"], status, headers)


async def show(call: Call, database: Database, ddoc_id: str) -> web.Response:
    """/{db}/_design/{ddoc}/_show/{function}[/{docid}]: the page a function makes of a document."""
    if not call.rest:
        raise StoreError("Invalid path.", slug="show_error", status=404)
    ddoc, source = _function(call, database, ddoc_id, "shows")
    doc_id = "/".join(call.rest[1:]) or None
    body = await call.body() if call.request.can_read_body else None
    request = javascript_request(call, database, doc_id=doc_id, body=body)
    made = await call.store.javascript.engine(source).run_page(
        "show", source, ddoc.source, _document(database, doc_id), orjson.dumps(request)
    )
    return _response(made, 200, {"Vary": "Accept"})


async def list_rows(call: Call, database: Database, ddoc_id: str) -> web.Response:
    """/{db}/_design/{ddoc}/_list/{function}/[{other ddoc}/]{view}: the page a function makes of a view's rows."""
    if len(call.rest) not in (2, 3):
        raise StoreError("Invalid path.", slug="list_error", status=404)
    ddoc, source = _function(call, database, ddoc_id, "lists")
    owner = database.design_doc(f"_design/{call.rest[1]}") if len(call.rest) == 3 else ddoc
    raw = await call.body() if call.request.can_read_body else b""
    params = ViewParams.parse(call.query.items(), load_object(raw) if raw.strip() else {})
    result = await call.store.databases.views(database).query(owner.doc, call.rest[-1], params)
    head = {} if result.total_rows is None else {"total_rows": result.total_rows, "offset": result.offset}
    rows: list[bytes] = []
    size = 0
    try:
        async for page in result.pages():
            rows.append(page)
            size += len(page)
            if size > _MOST_ROWS_BYTES:
                raise TooLarge("The view has more rows than a list function can take; use limit.")
    finally:
        result.close()
    request = javascript_request(call, database, body=raw or None)
    made = await call.store.javascript.engine(source).run_page(
        "list", source, ddoc.source, orjson.dumps(head), b"[" + b",".join(rows) + b"]", orjson.dumps(request)
    )
    made["headers"] = {"Content-Type": JSON, **made["headers"]}
    return _response(made, 200, {})


async def rewrite(call: Call, database: Database, ddoc_id: str) -> web.Response:
    """Rewrites are not run."""
    raise NotImplementedByStore("Rewrites of design documents are not run by this store.")


def _function(call: Call, database: Database, ddoc_id: str, kind: str) -> tuple[DesignDoc, str]:
    """The design document and the source of the function named first in the rest of the path; raises NotFound."""
    require_reader_of_all(call.user, database.name, database.security)
    ddoc = database.design_doc(ddoc_id)
    functions = ddoc.doc.get(kind)
    if not isinstance(functions, dict):
        raise NotFound(f"missing json key: {kind}")
    source = functions.get(call.rest[0])
    if not isinstance(source, str):
        raise NotFound(f"missing json key: {call.rest[0]}")
    return ddoc, source


def _document(database: Database, doc_id: str | None) -> bytes:
    found = reads.plain_winner(database.conn, doc_id) if doc_id is not None else None
    return b"null" if found is None else found[1]


def _response(made: Mapping[str, Any], status: int, headers: Mapping[str, str]) -> web.Response:
    """What a function answered, as HTTP; raises StoreError when it is nothing that can be sent."""
    if not made.keys() <= _RESPONSE_MEMBERS:
        raise StoreError(f"Invalid data from external server: {sorted(made)}", slug="external_response_error")
    code, given = made.get("code", status), made.get("headers", {})
    if not isinstance(code, int) or not 200 <= code < 600:
        raise StoreError("the code of a response must be an HTTP status", slug="external_response_error")
    if not isinstance(given, dict):
        raise StoreError("the headers of a response must be an object", slug="external_response_error")
    if "json" in made:
        content_type, body = JSON, orjson.dumps(made["json"])
    elif "base64" in made:
        content_type, body = "application/binary", _decoded(made["base64"])
    else:
        content_type, body = "text/html; charset=utf-8", str(made.get("body", "")).encode()
    named = {str(name): _header_value(str(value)) for name, value in given.items()}
    if not any(name.lower() == "content-type" for name in named):
        named["Content-Type"] = content_type
    # A page that somebody wrote must not act as its reader; a policy of its own can only restrict it further.
    policies = ["sandbox", *(named.pop(name) for name in list(named) if name.lower() == "content-security-policy")]
    sent = {**STANDARD_HEADERS, **headers, **named, "Content-Security-Policy": ", ".join(policies)}
    try:
        return web.Response(body=body, status=code, headers=sent)
    except ValueError as error:
        raise StoreError(f"the headers of a response cannot be sent: {error}", slug="external_response_error") from None


def _decoded(text: object) -> bytes:
    try:
        return base64.b64decode(str(text), validate=True)
    except (binascii.Error, ValueError):
        raise StoreError("base64 of a response is not base64", slug="external_response_error") from None


def _header_value(text: str) -> str:
    """The text, which must be printable ASCII: nothing of it may end the header."""
    if not text.isprintable() or not text.isascii():
        raise StoreError(f"{text!r} cannot be sent as a header", slug="external_response_error")
    return text
