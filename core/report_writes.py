"""Reports created and updated as whole documents (EP-CON-12, 14, 15, 16)."""

from __future__ import annotations

from typing import Any

from core.contact_writes import checked_contact, kept_members, own_members, refuse_changed
from core.contacts import reference
from core.couch.client import Database, Doc
from core.documents import is_report
from core.errors import InvalidInput, NotFound
from core.field_checks import refuse_set, reported_date, require_object, require_reference, require_texts
from core.lineage import minify
from core.settings import Settings
from core.shapes import NewReportDoc, required_texts
from core.uuids import uuid7

IDENTITY = "Valid _id, _rev, form, and type fields must be provided."


async def create_report(db: Database, settings: Settings, body: Any, *, now_ms: int) -> Doc:
    """Store a new report of an installed form by the contact it names, and return it as stored. InvalidInput."""
    report = require_object(body, "Report")
    require_texts(report, required_texts(NewReportDoc))
    contact_id = require_reference(report, "contact")
    check_fields(report)
    refuse_set(report, ("_id", "_rev"))
    moment_ms = reported_date(report, now_ms)
    if report.get("type", "data_record") != "data_record":
        raise InvalidInput('Report type must be "data_record".')
    form_id = f"form:{report['form']}"
    found = await db.get_many([form_id, contact_id])
    check_form(report, found)
    contact = found.get(contact_id)
    if contact is None or not settings.contact_types.is_contact(contact):
        raise InvalidInput(f"Contact [{contact_id}] not found.")
    content = {**own_members(report), "type": "data_record", "reported_date": moment_ms, "contact": reference(contact)}
    doc = {"_id": uuid7(now_ms), **minify(content)}
    return {**doc, "_rev": await db.put(doc)}


async def update_report(db: Database, settings: Settings, doc_id: str, body: Any) -> Doc:
    """Replace a report by the whole document given, and return it as stored. InvalidInput, NotFound, Conflict."""
    given = require_object(body, "Report")
    texts = ("_rev", "form", "type")
    if given.get("_id") != doc_id or not all(isinstance(given.get(name), str) and given[name] for name in texts):
        raise InvalidInput(IDENTITY)
    form_id = f"form:{given['form']}"
    found = await db.get_many([doc_id, form_id])
    stored = found.get(doc_id)
    if stored is None or not is_report(stored):
        raise NotFound(f"Report record [{doc_id}] not found.")
    refuse_changed(given, stored, ("_rev", "reported_date", "type"))
    check_fields(given)
    if given["form"] != stored["form"]:
        check_form(given, found)
    doc = {**minify(own_members(given)), **kept_members(stored)}
    doc |= await checked_contact(db, settings.contact_types, given, stored)
    return {**doc, "_rev": await db.put(doc)}


def check_form(report: Doc, found: dict[str, Doc]) -> None:
    form = found.get(f"form:{report['form']}")
    if form is None or form.get("type") != "form":
        raise InvalidInput(f"Invalid form value [{report['form']}].")


def check_fields(report: Doc) -> None:
    if report.get("fields") is not None and not isinstance(report["fields"], dict):
        raise InvalidInput("The [fields] field must have the type [object].")
