"""The forms of a deployment, read once for each revision of their documents (FORM-1..11, FORM-34)."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from cachetools import LRUCache

from core.couch.client import Database, Doc
from core.errors import DomainError, NotFound
from core.xforms.definition import XForm, read_xform

log = logging.getLogger(__name__)

PREFIX = "form:"
FORM_HTML, MODEL_XML = "form.html", "model.xml"
GENERATED = frozenset({FORM_HTML, MODEL_XML})
READERS = 8  # attachments read at the same time


@dataclass(frozen=True)
class Media:
    """A file that a client of the form downloads beside it. `doc_id` holds it as the attachment `name`."""

    filename: str
    doc_id: str
    name: str
    rev: str
    digest: str


@dataclass(frozen=True)
class Form:
    """One form document with an XForm. `code` is its `internalId`; `problem` says why the XForm cannot be read."""

    doc: Doc = field(repr=False)
    attachment: str
    md5: str = ""
    size_bytes: int = 0
    xform: XForm | None = None
    problem: str | None = None

    @property
    def doc_id(self) -> str:
        return str(self.doc["_id"])

    @property
    def rev(self) -> str:
        return str(self.doc["_rev"])

    @property
    def code(self) -> str:
        return code_of(self.doc)

    @property
    def content_type(self) -> str:
        return str(self.doc["_attachments"][self.attachment].get("content_type") or "application/xml")

    @property
    def context(self) -> Doc:
        context = self.doc.get("context")
        return context if isinstance(context, dict) else {}

    @property
    def is_collect(self) -> bool:
        return is_collect(self.doc)

    @property
    def media(self) -> list[Media]:
        """The attachments but the XForm and what was made of it, by the name a client knows them by."""
        return [
            Media(name.rpartition("/")[2], self.doc_id, name, self.rev, str(stub.get("digest")))
            for name, stub in self.doc["_attachments"].items()
            if name != self.attachment and name not in GENERATED
        ]


def is_form(doc: Doc) -> bool:
    """Whether a document is a form with an XForm (FORM-1)."""
    return str(doc.get("_id", "")).startswith(PREFIX) and doc.get("type") == "form" and xform_name(doc) is not None


def xform_name(doc: Doc) -> str | None:
    """The attachment that holds the XForm (FORM-3)."""
    attachments = doc.get("_attachments")
    names = attachments if isinstance(attachments, dict) else {}
    return next(
        (name for name in names if name == "xml" or (name.endswith(".xml") and name != MODEL_XML)),
        None,
    )


def code_of(doc: Doc) -> str:
    """The form code; a form without `internalId` is listed by the name in its id (EP-FRM-2)."""
    code = doc.get("internalId")
    return code if isinstance(code, str) and code else str(doc["_id"]).removeprefix(PREFIX)


def is_collect(doc: Doc) -> bool:
    """Whether a form serves external clients only (FORM-9, FORM-10)."""
    context = doc.get("context")
    special = str(doc["_id"]).startswith((f"{PREFIX}contact:", f"{PREFIX}training:"))
    return not special and isinstance(context, dict) and bool(context.get("collect"))


class Forms:
    """Knows every form at its present revision: each call asks for the revisions and reads only what is new."""

    def __init__(self, db: Database) -> None:
        self.db = db
        self._known: dict[str, tuple[str, Form | None]] = {}
        self._reading = asyncio.Lock()
        self._md5s: LRUCache[tuple[str, str, str], str] = LRUCache(4096)

    async def all(self) -> list[Form]:
        """Every form, in the order of the documents' ids."""
        async with self._reading:
            rows = await self.db.all_docs(startkey=PREFIX, endkey=f"{PREFIX}\ufff0")
            revs = {row["id"]: row["value"]["rev"] for row in rows}
            self._known = {doc_id: known for doc_id, known in self._known.items() if revs.get(doc_id) == known[0]}
            new = [doc_id for doc_id in revs if doc_id not in self._known]
            docs = await self.db.get_many(new)
            limit = asyncio.Semaphore(READERS)
            read = await asyncio.gather(*(self._read(doc, limit) for doc in docs.values()))
            self._known |= {doc["_id"]: (doc["_rev"], form) for doc, form in zip(docs.values(), read, strict=True)}
            return [form for _, (_, form) in sorted(self._known.items()) if form is not None]

    async def find(self, code: str) -> Form | None:
        """The form of a code: by `internalId`, the document's id or the XForm's own id, else in other letters' case.

        The first way that finds a form counts (FORM-11, FORM-33, EP-FRM-6).
        """
        forms = await self.all()
        ways: tuple[Any, ...] = (
            lambda form: form.code == code,
            lambda form: form.doc_id == PREFIX + code,
            lambda form: form.xform is not None and form.xform.id == code,
            lambda form: form.code.lower() == code.lower(),
            lambda form: form.xform is not None and form.xform.id.lower() == code.lower(),
        )
        return next((form for way in ways for form in forms if way(form)), None)

    async def xml(self, form: Form) -> bytes:
        """The XForm exactly as it was uploaded."""
        return await self.db.attachment(form.doc_id, form.attachment, form.rev)

    async def media(self, form: Form) -> list[Media]:
        """The form's own media, and the external data sets it names, which the `resources` document holds (OR-8)."""
        wanted = form.xform.files if form.xform else ()
        found = {media.filename: media for media in form.media}
        missing = [name for name in wanted if name not in found]
        if missing:
            resources = await self.db.find("resources") or {}
            for name in missing:
                attachment = resource_name(resources, name)
                if attachment is not None:
                    digest = str(resources["_attachments"][attachment].get("digest"))
                    found[name] = Media(name, "resources", attachment, resources["_rev"], digest)
        return list(found.values())

    async def md5(self, media: Media) -> str:
        """The MD5 of a file as clients get it: CouchDB's own digest may be of the compressed bytes."""
        key = (media.doc_id, media.name, media.digest)
        found = self._md5s.get(key)
        if found is None:
            data = await self.db.attachment(media.doc_id, media.name, media.rev)
            found = self._md5s[key] = await asyncio.to_thread(md5_of, data)
        return found

    async def _read(self, doc: Doc, limit: asyncio.Semaphore) -> Form | None:
        name = xform_name(doc)
        if name is None or not is_form(doc):
            return None
        try:
            async with limit:
                data = await self.db.attachment(doc["_id"], name, doc["_rev"])
        except NotFound:
            return None  # replaced meanwhile: the next call reads it
        md5 = await asyncio.to_thread(md5_of, data)
        try:
            xform, problem = await asyncio.to_thread(read_xform, data), None
        except DomainError as error:
            log.warning("%s cannot be read: %s", doc["_id"], error.message)
            xform, problem = None, error.message
        return Form(doc, name, md5, len(data), xform, problem)


def resource_name(resources: Doc, name: str) -> str | None:
    """The attachment of the `resources` document that is known by that name or bears it."""
    attachments = resources.get("_attachments") or {}
    named = resources.get("resources")
    candidates: Iterable[Any] = (named.get(name) if isinstance(named, dict) else None, name)
    return next((each for each in candidates if isinstance(each, str) and each in attachments), None)


def md5_of(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()
