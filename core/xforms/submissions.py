"""Store what OpenRosa clients submit: one report for each instance, however often and in how many parts it comes.

Ids are made of the instance's own, writes only create, and what a former attempt left out is completed (OR-26..34).
"""

from __future__ import annotations

import asyncio
import base64
import logging
import re
import secrets
import tempfile
import uuid
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, cast

import orjson

from core.contacts import RESERVED_ID, reference
from core.couch.client import Database, Doc, Row
from core.couch.errors import from_row
from core.documents import ContactTypes, id_of
from core.errors import Conflict, InvalidInput, TooLarge
from core.xforms.edits import USER_FILE, Standing, edited_report, instance_ids, report_for, standing_of
from core.xforms.instance import Instance
from core.xforms.reports import Meaning, Produced, file_names, report_of, texts_of

log = logging.getLogger(__name__)

LARGEST_ATTACHMENTS_BYTES = 30 * 2**20  # of one document (OR-31)
ATTEMPTS = 5
SUBMISSION_XML = "submission.xml"
CHUNK_BYTES = 3 * 2**18  # a multiple of three, so that the pieces' base64 joins
UNSAFE_NAME = re.compile(r"[/\\\x00-\x1f\x7f]")
LONGEST_NAME = 200


@dataclass(frozen=True)
class File:
    """A file that came with a submission, on disk while the request lasts; or the bytes themselves."""

    content_type: str
    content: Path | bytes

    @property
    def size_bytes(self) -> int:
        return len(self.content) if isinstance(self.content, bytes) else self.content.stat().st_size


@dataclass(frozen=True)
class Submission:
    instance: Instance
    files: Mapping[str, File]  # by the names that stand in the instance
    xml: bytes = field(repr=False)
    device_id: str | None = None


@dataclass(frozen=True)
class Submitter:
    contact: Doc | None  # minified
    phone: str | None


# Writes a `_bulk_docs` body as the submitter; and checks beforehand that these documents are hers to write, of which
# those that no report is made of are `further` ones.
Write = Callable[[BinaryIO], Awaitable[list[Row]]]
Check = Callable[[list[Doc], list[Doc]], Awaitable[None]]


@dataclass(frozen=True)
class Stored:
    """The report's id, and those of the documents that were written now: none when everything was there already."""

    report_id: str
    written: list[str] = field(default_factory=list)


async def store_submission(
    db: Database,
    submission: Submission,
    meaning: Meaning,
    submitter: Submitter,
    types: ContactTypes,
    *,
    now_ms: int,
    write: Write,
    check: Check,
) -> Stored:
    """Conflict when the instance came before with other answers, or would replace a document; TooLarge; InvalidInput.

    An instance that names a former one as its `deprecatedID` replaces the answers of that one's report.
    """
    instance = submission.instance
    files = {f"{USER_FILE}{checked_name(name)}": file for name, file in submission.files.items()}
    if meaning.keeps_xml:
        files[SUBMISSION_XML] = File("text/xml", submission.xml)
    for _ in range(ATTEMPTS):
        stored = await report_for(db, instance)
        standing = standing_of(instance, stored)
        if stored is not None and standing is Standing.FORMER:
            return Stored(stored["_id"])
        produced = await asyncio.to_thread(produce, instance, meaning, submitter, stored, now_ms)
        drawings = {name: File("image/png", data) for name, data in produced.drawings.items()}
        docs = await missing_docs(db, produced, types, is_new=stored is None)
        wanted = {**drawings, **files}
        if stored is None:
            report = new_report(produced.report, submission, meaning, wanted)
        elif standing is Standing.EDIT:
            edited = edited_report(stored, produced.report, instance, texts_of(instance.root), now_ms)
            report = with_files(edited, meaning, instance, wanted)
        else:
            report = completed_report(stored, meaning, instance, wanted)
        changed = report is not stored
        if not docs and not changed:
            return Stored(report["_id"])
        check_sizes(report, wanted)
        further = [*docs, *([report] if standing is Standing.EDIT else [])]
        docs = [report, *docs] if changed else docs
        await check(docs, further)
        rows = await write(await asyncio.to_thread(bulk_body, docs, wanted))
        if changed and isinstance(from_row(rows[0]), Conflict):
            continue  # the same instance came twice at once
        return Stored(report["_id"], written(rows))
    raise Conflict("The same submission is being stored at this moment; send it again")


def produce(instance: Instance, meaning: Meaning, submitter: Submitter, stored: Doc | None, now_ms: int) -> Produced:
    """What the instance stands for. A repeated one keeps the moment at which it was first received, and an edit the ids
    of the documents that the first instance brought."""
    first_ms = (stored or {}).get("reported_date")
    first_id = instance.instance_id if stored is None else instance_ids(stored)[0]
    return report_of(
        instance.copy(),
        meaning,
        report_id=instance.doc_id if stored is None else stored["_id"],
        new_id=lambda place: str(uuid.uuid5(uuid.NAMESPACE_URL, f"{first_id}{place}")),
        now_ms=first_ms if isinstance(first_ms, int) else now_ms,
        contact=submitter.contact,
        phone=submitter.phone,
    )


# --- the report -------------------------------------------------------------------------------------------------------


def new_report(report: Doc, submission: Submission, meaning: Meaning, files: Mapping[str, File]) -> Doc:
    instance = submission.instance
    openrosa = {
        "instance_id": instance.instance_id,
        **({"version": instance.version} if instance.version else {}),
        **({"device_id": submission.device_id} if submission.device_id else {}),
        "received": report["reported_date"],
        "sha256": instance.sha256,
    }
    return with_files({**report, "openrosa": openrosa}, meaning, instance, files)


def completed_report(stored: Doc, meaning: Meaning, instance: Instance, files: Mapping[str, File]) -> Doc:
    """The stored report with the files it lacks; the same object when it lacks none of them."""
    held = stored.get("_attachments") or {}
    new = {name: file for name, file in files.items() if name not in held}
    return with_files(stored, meaning, instance, new) if new else stored


def with_files(report: Doc, meaning: Meaning, instance: Instance, files: Mapping[str, File]) -> Doc:
    attachments = {**(report.get("_attachments") or {}), **stubs(files)}
    return with_missing({**report, **({"_attachments": attachments} if attachments else {})}, meaning, instance)


def with_missing(report: Doc, meaning: Meaning, instance: Instance) -> Doc:
    """`openrosa.missing`: the files that the instance names and that have not come yet (OR-29)."""
    held = report.get("_attachments") or {}
    names = file_names(instance.root, meaning.binaries)
    missing = [name for name in names if f"{USER_FILE}{name}" not in held]
    openrosa = {name: value for name, value in report["openrosa"].items() if name != "missing"}
    return {**report, "openrosa": {**openrosa, **({"missing": missing} if missing else {})}}


def checked_name(name: str) -> str:
    """A file's name as it may stand in the name of an attachment (OR-69)."""
    if not name or len(name) > LONGEST_NAME or UNSAFE_NAME.search(name):
        raise InvalidInput(f"A file name must have 1 to {LONGEST_NAME} characters and no path, not {name[:80]!r}")
    return name


def check_sizes(report: Doc, files: Mapping[str, File]) -> None:
    attachments = report.get("_attachments") or {}
    total = sum(files[name].size_bytes if name in files else stub["length"] for name, stub in attachments.items())
    if total > LARGEST_ATTACHMENTS_BYTES:
        raise TooLarge(
            f"The files of one submission must not be larger than {LARGEST_ATTACHMENTS_BYTES} bytes together"
        )


# --- the further documents --------------------------------------------------------------------------------------------


async def missing_docs(db: Database, produced: Produced, types: ContactTypes, *, is_new: bool) -> list[Doc]:
    """The extra documents that are not there yet, with the lineages of contacts.

    Conflict when a new report would bring a document under an id that is taken; InvalidInput for what none may be.
    """
    for doc in produced.others:
        check_other(doc)
    ids = [doc["_id"] for doc in produced.others]
    if len(set(ids)) < len(ids) or produced.report["_id"] in ids:
        raise InvalidInput("Two documents of the submission have the same _id")
    rows = await db.all_docs(ids) if ids else []
    there = {row["id"] for row in rows if "error" not in row}
    live = {row["id"] for row in rows if "error" not in row and not row["value"].get("deleted")}
    if is_new and (taken := sorted(live & produced.named)):
        raise Conflict(f"A document {taken[0]} exists already")
    others = [doc for doc in produced.others if doc["_id"] not in there or (is_new and doc["_id"] not in live)]
    return await with_lineages(db, others, produced.others, types)


def check_other(doc: Doc) -> None:
    if RESERVED_ID.fullmatch(doc["_id"]):
        raise InvalidInput(f"_id: {doc['_id'][:80]!r} is not free for documents of a form")
    special = [name for name in doc if name.startswith("_") and name != "_id"]
    if special:
        raise InvalidInput(f"A document of a form must not have a field {special[0][:80]!r}")


async def with_lineages(db: Database, docs: Sequence[Doc], siblings: Sequence[Doc], types: ContactTypes) -> list[Doc]:
    """Contacts whose `parent` and `contact` name others get the minified lineage of those; unknown ones stay ids."""
    named = {found for doc in docs if types.is_contact(doc) for found in relations(doc).values()}
    if not named:
        return list(docs)
    known = {doc["_id"]: doc for doc in siblings} | await db.get_many(sorted(named))

    def chained(contact_id: str, most: int = 20) -> Doc:
        doc = known.get(contact_id, {"_id": contact_id})
        parent = id_of(doc.get("parent"))
        if parent is not None and parent in known and most:
            return {"_id": contact_id, "parent": chained(parent, most - 1)}
        return reference(doc)

    return [
        {**doc, **{name: chained(found) for name, found in relations(doc).items()}} if types.is_contact(doc) else doc
        for doc in docs
    ]


def relations(doc: Doc) -> dict[str, str]:
    return {name: found for name in ("parent", "contact") if (found := id_of(doc.get(name)))}


# --- writing ----------------------------------------------------------------------------------------------------------


def stubs(files: Mapping[str, File]) -> Doc:
    """Attachments whose data is written when the body is: see `bulk_body`."""
    return {name: {"content_type": file.content_type} for name, file in files.items()}


def bulk_body(docs: Iterable[Doc], files: Mapping[str, File]) -> BinaryIO:
    """A file with a `_bulk_docs` body, in which attachments without data get that of `files`, piece by piece."""
    tokens: dict[bytes, File] = {}

    def with_data(name: str, attachment: Doc) -> Doc:
        if "stub" in attachment:
            return {"stub": True, "content_type": attachment["content_type"], "digest": attachment["digest"]}
        token = secrets.token_hex(16)
        tokens[token.encode()] = files[name]
        return {**attachment, "data": token}

    filled = []
    for doc in docs:
        attachments = doc.get("_attachments")
        if attachments:
            doc = {**doc, "_attachments": {name: with_data(name, each) for name, each in attachments.items()}}
        filled.append(doc)
    rest = orjson.dumps({"docs": filled})
    body = cast(BinaryIO, tempfile.TemporaryFile())  # noqa: SIM115  whoever sends it closes it
    for token, file in tokens.items():
        before, _, rest = rest.partition(token)
        body.write(before)
        write_base64(body, file)
    body.write(rest)
    body.seek(0)
    return body


def write_base64(body: BinaryIO, file: File) -> None:
    if isinstance(file.content, bytes):
        body.write(base64.b64encode(file.content))
        return
    with file.content.open("rb") as source:
        while piece := source.read(CHUNK_BYTES):
            body.write(base64.b64encode(piece))


def written(rows: Sequence[Row]) -> list[str]:
    """The ids that were stored. An extra document that came into being meanwhile is there; other failures raise."""
    for row in rows:
        failure = from_row(row)
        if failure is not None and not isinstance(failure, Conflict):
            raise failure
        if failure is not None:
            log.warning("%s was there before the submission that brings it", row["id"])
    return [row["id"] for row in rows if "error" not in row]
