"""Filled forms of OpenRosa clients become reports (50 §6)."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import BinaryIO

import orjson
from aiohttp import web

from api.auth import holds
from api.bodies import now_ms
from api.errors import InsufficientPrivileges
from api.forwarded import origin
from api.handlers.openrosa import may_fill_in
from api.infodocs import note_writes
from api.keys import DB, REQUEST_SETTINGS
from api.multipart import Part, parts_of
from api.openrosa import HEADERS, collector, openrosa, paths, told
from api.proxy import ask, read_whole
from api.replication.scope import user_scope
from api.replication.writes import accepted
from api.sessions import User
from api.xforms import FORMS
from core.contacts import reference
from core.couch.client import Doc, Row
from core.couch.errors import from_answer
from core.errors import Forbidden, InvalidInput, NotFound
from core.xforms.catalogue import PREFIX
from core.xforms.instance import Instance, read_instance
from core.xforms.reports import Meaning, texts_of
from core.xforms.safe_xml import LARGEST_BYTES
from core.xforms.submissions import File, Submission, Submitter, store_submission

LARGEST_SUBMISSION_BYTES = 32 * 2**20
XML_PART = "xml_submission_file"
INCOMPLETE = "*isIncomplete*"
LONGEST_DEVICE_ID = 200


async def head_submission(request: web.Request) -> web.Response:
    """HEAD /openrosa/submission: go ahead, with this much at most (OR-20)."""
    collector(request)
    length = {"X-OpenRosa-Accept-Content-Length": str(LARGEST_SUBMISSION_BYTES)}
    location = f"{origin(request)}{request.path}"
    return web.Response(status=204, headers={**HEADERS, **length, "Location": location})


async def post_submission(request: web.Request) -> web.Response:
    """POST /openrosa/submission: `xml_submission_file` and the files it names as multipart/form-data; 201.

    The same instance may come again, with the same answers and further files, and stays one report; with others it
    is 409. One whose `meta/deprecatedID` names another takes its place in its report. Permission: can_create_records
    and the form's own; can_edit where the instance edits a report or brings further documents.
    """
    user = collector(request)
    settings = request[REQUEST_SETTINGS]
    if not holds(request, user, "can_create_records"):
        raise InsufficientPrivileges
    db = request.config_dict[DB]
    with tempfile.TemporaryDirectory(prefix="submission-") as folder:
        submission = await read_submission(request, Path(folder))
        meaning = await meaning_of(request, user, submission.instance)
        submitter = await submitter_of(request, user)

        async def check(docs: list[Doc], further: list[Doc]) -> None:
            if further and not holds(request, user, "can_edit"):
                raise InsufficientPrivileges  # as for any document that is no new record
            if user.offline and not all(await accepted(request, user_scope(request, user), docs)):
                raise Forbidden("The submission is about somebody outside your area")

        stored = await store_submission(
            db,
            submission,
            meaning,
            submitter,
            settings.contact_types,
            now_ms=now_ms(),
            write=lambda body: write_as_caller(request, body),
            check=check,
        )
    note_writes(request, stored.written)
    return told(f"Stored as {stored.report_id}", status=201)


async def read_submission(request: web.Request, folder: Path) -> Submission:
    """The parts of the body: the XML in memory, the files in `folder` under names of our own."""
    xml: bytes | None = None
    charset: str | None = None
    parts: list[tuple[Part, File]] = []
    async for part in parts_of(request, LARGEST_SUBMISSION_BYTES):
        if part.name == XML_PART:
            if xml is not None:
                raise InvalidInput(f"There must be one part named {XML_PART}, not several")
            xml, charset = await part.read(LARGEST_BYTES), part.charset
        elif part.name != INCOMPLETE:
            path = folder / str(len(parts))
            with path.open("wb") as file:
                async for chunk in part.chunks():
                    file.write(chunk)
            parts.append((part, File(part.content_type, path)))
    if xml is None:
        raise InvalidInput(f"There must be a part named {XML_PART}")
    instance = await asyncio.to_thread(read_instance, xml, charset)
    texts = texts_of(instance.root) if parts else set()
    files = {name: file for part, file in parts if (name := file_name(part, texts))}
    device_id = request.query.get("deviceID", "")[:LONGEST_DEVICE_ID] or None
    return Submission(instance, files, xml, device_id)


def file_name(part: Part, texts: set[str]) -> str | None:
    """The name by which the instance knows a file; None for a field that is no file (OR-21)."""
    return next((name for name in (part.filename, part.name) if name and name in texts), part.filename)


async def meaning_of(request: web.Request, user: User, instance: Instance) -> Meaning:
    """What the instance's form says of it. NotFound without such a form, Forbidden where it is not the caller's."""
    form = await request.config_dict[FORMS].find(instance.form_id)
    if form is None:
        codes = request[REQUEST_SETTINGS].forms
        code = next((each for each in codes if each.lower() == instance.form_id.lower()), None)
        if code is None:
            raise NotFound(f"There is no form {instance.form_id}")
        return Meaning(code)  # OR-35
    if form.doc_id.startswith(f"{PREFIX}contact:"):
        raise Forbidden(f"The contact form {form.code} is filled in within the application")
    if not may_fill_in(request, user, form):
        raise InsufficientPrivileges
    repeats, binaries = (form.xform.repeats, form.xform.binaries) if form.xform else ((), ())
    keeps_xml = form.context.get("keep_xml") is True
    return Meaning(form.code, form.doc.get("xmlVersion"), repeats, binaries, keeps_xml)


async def submitter_of(request: web.Request, user: User) -> Submitter:
    """The caller's contact and its phone; only who may edit everything needs none (OR-32)."""
    contact = await request.config_dict[DB].find(user.contact_id) if user.contact_id else None
    if contact is None:
        if user.offline or not holds(request, user, "can_edit"):
            raise Forbidden("Your account has no contact, as whom you could submit")
        return Submitter(None, None)
    phone = contact.get("phone")
    return Submitter(reference(contact), phone if isinstance(phone, str) else None)


async def write_as_caller(request: web.Request, body: BinaryIO) -> list[Row]:
    """One `_bulk_docs` by the caller's own rights, so that CouchDB's rules for writers hold."""
    path = f"{request.config_dict[DB].path}/_bulk_docs"
    headers = {"Content-Type": "application/json", "Accept": "application/json", "Accept-Encoding": "identity"}
    async with ask(request, method="POST", path=path, params={}, body=body, headers=headers) as answer:
        data = await read_whole(answer)
        if answer.status >= 400:
            raise from_answer(answer.status, data)
    rows: list[Row] = orjson.loads(data)
    return rows


ROUTES = [
    route
    for path in (*paths("/submission"), "/submission")
    for route in (web.head(path, openrosa(head_submission)), web.post(path, openrosa(post_submission)))
]
