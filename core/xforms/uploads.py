"""An uploaded form as the document that holds it, and what it was before where that is the same (FORM-2, FORM-63)."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from core.couch.client import Database, Doc
from core.errors import Conflict, InvalidInput, NotFound, TooLarge
from core.xforms.attachments import Attachment, holds, inline
from core.xforms.catalogue import GENERATED, PREFIX, xform_name
from core.xforms.definition import XForm, read_xform

CODE = re.compile(r"[a-z0-9_][a-z0-9_.:-]{0,99}", re.IGNORECASE)
FILE_NAME = re.compile(r"[^/\\\x00-\x1f\x7f_][^\\\x00-\x1f\x7f]{0,199}")
ATTEMPTS = 5
XML = "application/xml"


def is_title(value: Any) -> bool:
    def is_translation(each: Any) -> bool:
        return isinstance(each, dict) and all(isinstance(each.get(name), str) for name in ("locale", "content"))

    return isinstance(value, str) or (isinstance(value, list) and all(is_translation(each) for each in value))


# The members of a form that its author sets beside the XForm: what each must be, and the check of it.
PROPERTIES: Mapping[str, tuple[str, Callable[[Any], bool]]] = {
    "title": ("a text or a list of {locale, content}", is_title),
    "icon": ("a text", lambda value: isinstance(value, str)),
    "context": ("an object", lambda value: isinstance(value, dict)),
    "subject_key": ("a text", lambda value: isinstance(value, str)),
    "hidden_fields": (
        "a list of texts",
        lambda value: isinstance(value, list) and all(isinstance(each, str) for each in value),
    ),
    "xml2sms": ("true, false or a text", lambda value: isinstance(value, bool | str)),
    "duplicate_check": ("an object", lambda value: isinstance(value, dict)),
}


@dataclass(frozen=True)
class Upload:
    """What an author brings. `media` are added to those the form has, `properties` replace those of their names.

    A file that the form names as `jr://images/net.png` may come as `net.png`.
    """

    xform: bytes = field(repr=False)
    definition: XForm
    properties: Mapping[str, Any] = field(default_factory=dict)
    media: Mapping[str, Attachment] = field(default_factory=dict)

    @property
    def doc_id(self) -> str:
        return PREFIX + self.definition.id

    @property
    def files(self) -> dict[str, Attachment]:
        """The media by the names of their attachments."""
        wanted = {name.rpartition("/")[2]: name for name in sorted(self.definition.media)}
        return {wanted.get(name, name): file for name, file in self.media.items()}


def check_properties(value: Any) -> dict[str, Any]:
    """InvalidInput names the property at fault."""
    if not isinstance(value, dict):
        raise InvalidInput("properties: must be a JSON object")
    for name, given in value.items():
        if name not in PROPERTIES:
            raise InvalidInput(f"properties: {name[:80]!r} is not one of {', '.join(PROPERTIES)}")
        expected, fits = PROPERTIES[name]
        if not fits(given):
            raise InvalidInput(f"properties.{name}: must be {expected}")
    return value


def check_code(code: str) -> None:
    if not CODE.fullmatch(code):
        raise InvalidInput(
            f"The form's id (form_id of the settings sheet) must have 1 to 100 letters, digits and `_-.:`, not {code!r}"
        )


def check_file_name(name: str) -> None:
    if not FILE_NAME.fullmatch(name) or ".." in name.split("/") or name in GENERATED or name.endswith("xml"):
        raise InvalidInput(f"A form cannot hold a file of the name {name[:80]!r}")


async def store_upload(
    db: Database,
    upload: Upload,
    now_ms: int,
    complete: Callable[[Doc], Doc],
) -> tuple[Doc, bool]:
    """The form's document as it is stored now, and whether it was written: not where nothing is new in it.

    `complete` adds what is generated from the XForm. Conflict when others keep writing it.
    """
    for _ in range(ATTEMPTS):
        stored = await db.find(upload.doc_id)
        if stored is not None and await is_stored(db, stored, upload):
            return stored, False
        title = await title_of(db, stored, upload)
        doc = complete(document_of(stored, upload, title, now_ms))
        try:
            return {**doc, "_rev": await db.put(doc)}, True
        except Conflict:
            continue
    raise Conflict(f"{upload.doc_id} is being written by somebody else at this moment; upload it again")


async def title_of(db: Database, stored: Doc | None, upload: Upload) -> Any:
    """The XForm's own, unless its document was given another one."""
    given = (stored or {}).get("title")
    name = xform_name(stored) if stored is not None else None
    if stored is None or not given or name is None:
        return upload.definition.title
    try:
        former = await db.attachment(stored["_id"], name, stored["_rev"])
        derived = given == (await asyncio.to_thread(read_xform, former)).title
    except (NotFound, InvalidInput, TooLarge):
        return given
    return upload.definition.title if derived else given


def document_of(stored: Doc | None, upload: Upload, title: Any, now_ms: int) -> Doc:
    held = dict((stored or {}).get("_attachments") or {})
    if stored is not None and (former := xform_name(stored)):
        del held[former]
    return {
        **(stored or {}),
        "_id": upload.doc_id,
        "type": "form",
        "internalId": upload.definition.id,
        "title": title,
        **upload.properties,
        "xmlVersion": {"time": now_ms, "sha256": hashlib.sha256(upload.xform).hexdigest()},
        "_attachments": {
            "xml": inline(Attachment(XML, upload.xform)),
            **{name: stub for name, stub in held.items() if name not in GENERATED},
            **{name: inline(file) for name, file in upload.files.items()},
        },
    }


async def is_stored(db: Database, stored: Doc, upload: Upload) -> bool:
    """Whether the document has all of this already."""
    if any(stored.get(name) != value for name, value in (*upload.properties.items(), ("type", "form"))):
        return False
    name = xform_name(stored)
    if name is None or not await holds(db, stored, name, upload.xform):
        return False
    return all([await holds(db, stored, name, file.data) for name, file in upload.files.items()])


def missing_media(doc: Doc, definition: XForm) -> list[str]:
    """The files that the form's labels name and its document lacks."""
    return sorted(definition.media - doc["_attachments"].keys())
