"""Submissions that replace a former one of the same report (OR-30, XR-11)."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, auto
from typing import Any

from core.couch.client import Database, Doc
from core.errors import Conflict
from core.xforms.instance import Instance, doc_id_of

DDOC, VIEW = "medic-openrosa", "reports_by_edited_instance"
USER_FILE = "user-file-"
REPLACED = ("fields", "hidden_fields", "form_version")


class Standing(Enum):
    """What an instance is to the report it belongs to."""

    NEW = auto()
    SAME = auto()  # it came before; files may be missing
    FORMER = auto()  # it came before and another one has replaced it
    EDIT = auto()


async def report_for(db: Database, instance: Instance) -> Doc | None:
    """The stored report that the instance is, or replaces; None for a new one."""
    former_id = instance.deprecated_id and doc_id_of(instance.deprecated_id)
    found = await db.get_many([instance.doc_id, *([former_id] if former_id else [])])
    if instance.doc_id in found or not instance.deprecated_id:
        return found.get(instance.doc_id)
    former = found.get(former_id)
    if former is not None and instance.deprecated_id in instance_ids(former):
        return former
    rows = await db.view(DDOC, VIEW, key=instance.deprecated_id, include_docs=True, limit=1)
    return rows[0]["doc"] if rows else None


def instance_ids(report: Doc) -> list[Any]:
    """The ids of the instances that the report was, the latest last."""
    openrosa = report.get("openrosa")
    known = openrosa if isinstance(openrosa, dict) else {}
    ids = known.get("instance_ids")
    return ids if isinstance(ids, list) and ids else [known.get("instance_id")]


def standing_of(instance: Instance, report: Doc | None) -> Standing:
    """Conflict where the instance can be neither stored nor be what is stored already (OR-27, OR-30)."""
    if report is None:
        return Standing.NEW
    ids = instance_ids(report)
    if instance.instance_id == ids[-1]:
        if report["openrosa"].get("sha256") != instance.sha256:
            raise Conflict(f"The submission {instance.instance_id} was received before with other answers")
        return Standing.SAME
    if instance.instance_id in ids:
        return Standing.FORMER
    if instance.deprecated_id == ids[-1]:
        return Standing.EDIT
    if instance.deprecated_id in ids:
        raise Conflict(f"The submission {instance.instance_id} replaces one that was replaced already")
    raise Conflict(f"There is another document under the id of the submission {instance.instance_id}")


def edited_report(stored: Doc, produced: Doc, instance: Instance, texts: set[str], now_ms: int) -> Doc:
    """The report with the answers of its new instance: who reported when stays, and so do files it still names.

    Conflict when the instance is of another form.
    """
    if stored.get("form") != produced["form"]:
        raise Conflict(f"The submission {instance.instance_id} replaces one of the form {stored.get('form')}")
    report = {name: value for name, value in stored.items() if name not in ("_attachments", "content", *REPLACED)}
    report |= {name: produced[name] for name in REPLACED if name in produced}
    report["openrosa"] = {
        **stored["openrosa"],
        "instance_id": instance.instance_id,
        "instance_ids": [*instance_ids(stored), instance.instance_id],
        **({"version": instance.version} if instance.version else {}),
        "edited": now_ms,
        "sha256": instance.sha256,
    }
    held: Mapping[str, Any] = stored.get("_attachments") or {}
    kept = {name: stub for name, stub in held.items() if is_kept(name, texts)}
    return {**report, **({"_attachments": kept} if kept else {})}


def is_kept(name: str, texts: set[str]) -> bool:
    """Files go with the answer that named them; drawings and what others attached stay (XR-10)."""
    return name != "content" and (not name.startswith(USER_FILE) or name.removeprefix(USER_FILE) in texts)
