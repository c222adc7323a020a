"""Forms on their way to CouchDB get their HTML and model, so that no client ever sees one without (FORM-7, FORM-60)."""

from __future__ import annotations

import base64
from typing import Any

import orjson
from aiohttp import web

from api.errors import StorageError
from api.keys import DB
from api.xforms import CONVERTER
from core.couch.client import Doc
from core.errors import InvalidInput, TooLarge
from core.xforms.catalogue import PREFIX, xform_name
from core.xforms.generated import completed

MARK = f'"{PREFIX}'.encode()  # how the id of a form begins in a body


async def with_forms_converted(request: web.Request, rest: list[str], body: bytes) -> bytes:
    """The body of a PUT, POST or `_bulk_docs` below the main database, with the forms in it converted.

    StorageError 400 names the form that cannot be converted: nothing of the request is stored then. What is replicated
    with its revisions is left as it is.
    """
    single = len(rest) == 1 and rest[0].startswith(PREFIX)
    if not single and MARK not in body:
        return body
    try:
        sent = orjson.loads(body)
    except orjson.JSONDecodeError:
        return body
    if not isinstance(sent, dict) or request.query.get("new_edits") == "false" or sent.get("new_edits") is False:
        return body
    if rest != ["_bulk_docs"]:
        made = await converted(request, {**sent, "_id": rest[0]} if single else sent)
        return body if made is None else orjson.dumps(made)
    docs = sent.get("docs")
    if not isinstance(docs, list):
        return body
    found = [await converted(request, doc) for doc in docs]
    if not any(found):
        return body
    return orjson.dumps({**sent, "docs": [made or doc for made, doc in zip(found, docs, strict=True)]})


async def with_xform_replaced(request: web.Request, rest: list[str]) -> bytes | None:
    """The document to be written in place of its attachment alone; None unless that is the XForm of a form."""
    rev = request.query.get("rev")
    if request.method != "PUT" or len(rest) != 2 or not rest[0].startswith(PREFIX) or not rev:
        return None
    doc_id, name = rest
    doc = await request.config_dict[DB].find(doc_id, rev=rev)
    if doc is None or (name != "xml" and xform_name(doc) != name):
        return None
    data = base64.b64encode(await request.read()).decode()
    attachment = {"content_type": request.headers.get("Content-Type", "application/octet-stream"), "data": data}
    made = await converted(request, {**doc, "_attachments": {**(doc.get("_attachments") or {}), name: attachment}})
    return None if made is None else orjson.dumps(made)


async def converted(request: web.Request, doc: Any) -> Doc | None:
    if not isinstance(doc, dict) or not isinstance(doc.get("_attachments"), dict):
        return None
    try:
        return await completed(request.config_dict[DB], request.config_dict[CONVERTER], doc)
    except (InvalidInput, TooLarge) as error:
        raise StorageError(error.status, error.slug, f"{doc['_id']}: {error.message}") from error
