"""What an administrator wants to know of each form, and what is wrong with it (FORM-9, FORM-16, FORM-65)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NotRequired, TypedDict

from core.xforms.catalogue import GENERATED, PREFIX, Form

KINDS = (("contact:", "contact"), ("training:", "training"))


class FormSummary(TypedDict):
    """`kind` is contact, training, collect or app; `uploaded` in ms; `problem` only where something is wrong."""

    id: str
    rev: str
    code: str
    title: str
    kind: str
    version: str | None
    uploaded: int | None
    md5: str
    size: int
    media: list[str]
    problem: NotRequired[str]


def summary_of(form: Form, errors: Mapping[str, Any]) -> FormSummary:
    """`errors` are those of `FormErrors`."""
    version = form.doc.get("xmlVersion")
    uploaded = version.get("time") if isinstance(version, dict) else None
    found: FormSummary = {
        "id": form.doc_id,
        "rev": form.rev,
        "code": form.code,
        "title": title_of(form),
        "kind": kind_of(form),
        "version": form.xform.version if form.xform else None,
        "uploaded": uploaded if isinstance(uploaded, int) else None,
        "md5": form.md5,
        "size": form.size_bytes,
        "media": [media.name for media in form.media],
    }
    problem = problem_of(form, errors)
    return {**found, "problem": problem} if problem else found


def title_of(form: Form) -> str:
    """The title of the document, in the first of its languages, else the XForm's."""
    title = form.doc.get("title")
    translations = title if isinstance(title, list) else []
    texts = [title, *(each.get("content") for each in translations if isinstance(each, dict))]
    own = next((text for text in texts if isinstance(text, str) and text), None)
    return own or (form.xform.title if form.xform else form.code)


def kind_of(form: Form) -> str:
    name = form.doc_id.removeprefix(PREFIX)
    special = next((kind for prefix, kind in KINDS if name.startswith(prefix)), None)
    return special or ("collect" if form.is_collect else "app")


def problem_of(form: Form, errors: Mapping[str, Any]) -> str | None:
    if form.problem:
        return form.problem
    error = errors.get(form.doc_id)
    if isinstance(error, dict) and error.get("rev") == form.rev:
        return str(error.get("error"))
    if not form.doc.get("internalId"):
        return "internalId: the document has none, so reports cannot name their form"
    if not form.is_collect and not form.doc["_attachments"].keys() >= GENERATED:
        return "It has not been converted for browsers yet"
    return None
