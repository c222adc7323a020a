"""Forms as their authors bring them: an XLSForm or XForm, with its media and properties, in one request (FORM-63)."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any, NotRequired, TypedDict

from aiohttp import web

from api.auth import require
from api.bodies import now_ms
from api.infodocs import note_writes
from api.keys import DB
from api.multipart import parts_of
from api.operations import Access, Operation, describe
from api.params import parse_json
from api.responses import json_response
from api.xforms import CONVERTER
from core.couch.client import Doc
from core.errors import InvalidInput, UnsupportedMediaType
from core.xforms.archive import LARGEST_BYTES as LARGEST_XLSX_BYTES
from core.xforms.archive import is_workbook
from core.xforms.attachments import Attachment
from core.xforms.catalogue import PREFIX
from core.xforms.converter import Conversion, Converter
from core.xforms.definition import read_xform
from core.xforms.generated import is_converted, with_generated
from core.xforms.uploads import Upload, check_code, check_file_name, check_properties, missing_media, store_upload

XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
XLSX_TYPES = frozenset({XLSX, "application/vnd.ms-excel"})
XML_TYPES = frozenset({"application/xml", "text/xml"})
LARGEST_BODY_BYTES = 32 * 2**20
LARGEST_PROPERTIES_BYTES = 2**20
FORM_PART, PROPERTIES_PART = "form", "properties"
ITEMSETS = "itemsets.csv"


class UploadParts(TypedDict):
    """Every other part is a file that the form names, such as `net.png`, under its file name."""

    form: str
    properties: NotRequired[str]


class Uploaded(TypedDict):
    """`changed` is false where the form was stored like that before; then nothing was written."""

    ok: bool
    id: str
    rev: str
    code: str
    title: str
    changed: bool
    warnings: list[str]


@dataclass
class Brought:
    """What one request holds. `name` is that of the form's file, without its extension."""

    form: bytes = b""
    name: str | None = None
    is_table: bool = False
    properties: dict[str, Any] = field(default_factory=dict)
    media: dict[str, Attachment] = field(default_factory=dict)

    def wishes(self, stored: Doc | None = None) -> tuple[list[str], bool]:
        """The nodes that a table's form hides, and whether it is for collectors alone: as brought, else as stored."""
        found = {**(stored or {}), **self.properties}
        hidden_fields, context = found.get("hidden_fields"), found.get("context")
        is_for_collectors = isinstance(context, dict) and bool(context.get("collect"))
        return list(hidden_fields) if isinstance(hidden_fields, list) else [], is_for_collectors


@describe(
    Operation(
        access=Access.ACCOUNT,
        permissions=("can_configure",),
        body={XLSX: str, "application/xml": str, "multipart/form-data": UploadParts},
        answers={200: Uploaded, 201: Uploaded},
        errors=(409, 413, 415),
    )
)
async def post_form(request: web.Request) -> web.Response:
    """POST /api/v1/forms: store an XLSForm (.xlsx) or XForm as `form:<its id>`, new (201) or in place of another.

    The body is the file, or multipart/form-data with the part `form`, perhaps `properties` (a JSON object of title,
    icon, context, subject_key, hidden_fields, xml2sms and duplicate_check) and the form's media. What is not brought
    stays. 400 names sheet, row and cell in `details.problems`. Permission: can_configure.
    """
    require(request, "can_configure")
    uploaded, is_new = await store_form(request, await read_upload(request))
    return json_response(uploaded, status=201 if is_new else 200)


async def store_form(request: web.Request, brought: Brought) -> tuple[Uploaded, bool]:
    """Store what an author brought; and whether that form was not there before. InvalidInput, TooLarge, Conflict."""
    converter, db = request.config_dict[CONVERTER], request.config_dict[DB]
    xform, conversion = await converted(converter, brought)
    definition = await asyncio.to_thread(read_xform, xform)
    check_code(definition.id)
    stored = await db.find(PREFIX + definition.id) if brought.is_table else None
    if stored is not None and brought.wishes(stored) != brought.wishes():  # what a table becomes depends on what stays
        xform, conversion = await converted(converter, brought, stored)
    upload = Upload(xform, definition, brought.properties, brought.media)
    doc, changed = await store_upload(
        db,
        upload,
        now_ms(),
        lambda doc: with_generated(doc, conversion) if is_converted(doc) else doc,
    )
    if changed:
        note_writes(request, {upload.doc_id: doc["_rev"]})
    missing = [f"The form names {name}, which it has no file for." for name in missing_media(doc, definition)]
    uploaded: Uploaded = {
        "ok": True,
        "id": upload.doc_id,
        "rev": doc["_rev"],
        "code": definition.id,
        "title": definition.title,
        "changed": changed,
        "warnings": [*conversion.warnings, *missing],
    }
    return uploaded, changed and doc["_rev"].startswith("1-")


async def converted(converter: Converter, brought: Brought, stored: Doc | None = None) -> tuple[bytes, Conversion]:
    """The XForm and what was made of it, for a form that is `stored` already perhaps.

    InvalidInput, for a table with the cells that are wrong; TooLarge.
    """
    if not brought.is_table:
        return brought.form, await converter.convert(brought.form)
    hidden_fields, collect = brought.wishes(stored)
    table = await converter.convert_xlsform(
        brought.form, name=brought.name, hidden_fields=hidden_fields, collect=collect
    )
    if table.itemsets is not None:
        brought.media.setdefault(ITEMSETS, Attachment("text/csv", table.itemsets.encode()))
    return table.xform, table


# --- reading ----------------------------------------------------------------------------------------------------------


async def read_upload(request: web.Request) -> Brought:
    """InvalidInput, TooLarge; UnsupportedMediaType."""
    if request.content_type == "multipart/form-data":
        return await read_parts(request)
    if request.content_type not in XLSX_TYPES | XML_TYPES:
        raise UnsupportedMediaType(f"The body must be {XLSX}, application/xml or multipart/form-data")
    return await read_form(request)


async def read_form(request: web.Request) -> Brought:
    """The body as the form alone."""
    form = await request.read()
    return Brought(form, is_table=request.content_type in XLSX_TYPES or is_workbook(form))


async def read_parts(request: web.Request) -> Brought:
    found = Brought()
    async for part in parts_of(request, LARGEST_BODY_BYTES):
        if part.name == FORM_PART:
            found.form = await part.read(LARGEST_XLSX_BYTES)
            found.name = (part.filename or "").rpartition(".")[0] or None
            found.is_table = part.content_type in XLSX_TYPES or is_workbook(found.form)
        elif part.name == PROPERTIES_PART:
            found.properties = check_properties(parse_json(await part.read(LARGEST_PROPERTIES_BYTES)))
        elif part.filename:
            check_file_name(part.filename)
            found.media[part.filename] = Attachment(part.content_type, await part.read(LARGEST_BODY_BYTES))
        else:
            raise InvalidInput(f"There must be no part {part.name[:80]!r} without a file name")
    if not found.form:
        raise InvalidInput(f"There must be a part named {FORM_PART} with the XLSForm or XForm")
    return found


ROUTES: list[Any] = [web.post("/api/v1/forms", post_form)]
