"""The HTML and model of a form as attachments of its document, always those of its XForm (FORM-7, FORM-22, FORM-23)."""

from __future__ import annotations

import base64
import binascii
import logging
from typing import Any

from core.couch.client import Database, Doc
from core.errors import Conflict, NotFound
from core.xforms.attachments import Attachment, holds, inline
from core.xforms.catalogue import FORM_HTML, MODEL_XML, is_collect, is_form, xform_name
from core.xforms.converter import Conversion, Converter

log = logging.getLogger(__name__)


def is_converted(doc: Doc) -> bool:
    """Whether clients want the HTML and model of this document: of all forms but those for collectors (FORM-10)."""
    return is_form(doc) and not is_collect(doc)


def with_generated(doc: Doc, conversion: Conversion) -> Doc:
    made = {
        FORM_HTML: inline(Attachment("text/html", conversion.form)),
        MODEL_XML: inline(Attachment("text/xml", conversion.model)),
    }
    return {**doc, "_attachments": {**doc["_attachments"], **made}}


async def completed(db: Database, converter: Converter, doc: Doc) -> Doc | None:
    """A form that is about to be written, with its generated attachments; None for what CouchDB must look at alone.

    InvalidInput when its XForm cannot be converted.
    """
    if doc.get("_deleted") or not is_converted(doc):
        return None
    xform = await xform_of(db, doc)
    return None if xform is None else with_generated(doc, await converter.convert(xform))


async def xform_of(db: Database, doc: Doc) -> bytes | None:
    """The bytes that come with the document, or those it keeps; None when it brings them in neither way."""
    name = xform_name(doc)
    attachment: Any = doc["_attachments"].get(name)
    if not isinstance(attachment, dict) or name is None:
        return None
    if isinstance(attachment.get("data"), str):
        try:
            return base64.b64decode(attachment["data"], validate=True)
        except (binascii.Error, ValueError):
            return None
    if attachment.get("stub") and isinstance(doc.get("_rev"), str):
        try:
            return await db.attachment(doc["_id"], name, doc["_rev"])
        except NotFound:
            return None
    return None


async def refresh(db: Database, converter: Converter, doc: Doc) -> bool:
    """Store the generated attachments of a form where they are not those of its XForm; True when they were written.

    InvalidInput when it cannot be converted; a revision that came meanwhile is a change of its own.
    """
    if not is_converted(doc):
        return False
    xform = await xform_of(db, doc)
    if xform is None:
        return False
    conversion = await converter.convert(xform)
    if await holds(db, doc, FORM_HTML, conversion.form) and await holds(db, doc, MODEL_XML, conversion.model):
        return False
    try:
        await db.put(with_generated(doc, conversion))
    except Conflict:
        return False
    log.info("%s converted", doc["_id"])
    return True
