"""The rules of 20 §3 to §6 written down a second time, as literally and as slowly as possible, to compare with."""

from __future__ import annotations

from typing import Any

CONTACTS = ["contact", "person", "clinic", "health_center", "district_hospital"]
EVERYONES = [
    "resources",
    "branding",
    "partners",
    "service-worker-meta",
    "zscore-charts",
    "settings",
    "privacy-policies",
    "extension-libs",
]


def js_truthy(value: Any) -> bool:
    return value not in (None, False, 0, "") or isinstance(value, list | dict)


def says_yes(value: Any) -> bool:
    return js_truthy(value) and value not in ("false", "no", "0")


def get(value: Any, *path: str) -> Any:
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def text(value: Any) -> str | None:
    return str(value) if js_truthy(value) and not isinstance(value, bool | dict | list) else None


def links(node: Any) -> list[Any]:
    """Ids on the way up, None where a link has none."""
    found = []
    while isinstance(node, dict):
        found.append(text(node.get("_id")))
        node = node.get("parent")
    return found


def subject(doc: dict[str, Any]) -> str:
    found = None
    if js_truthy(doc.get("form")):
        codes = [get(error, "code") for error in doc.get("errors") or []]
        if js_truthy(doc.get("contact")) and ("registration_not_found" in codes or "invalid_patient_id" in codes):
            found = get(doc, "contact", "_id")
        else:
            for path in (
                ("patient_id",),
                ("fields", "patient_id"),
                ("place_id",),
                ("fields", "place_id"),
                ("fields", "patient_uuid"),
                ("contact", "_id"),
            ):
                if not js_truthy(found):
                    found = get(doc, *path)
    elif js_truthy(doc.get("sms_message")):
        found = get(doc, "contact", "_id")
    elif js_truthy(doc.get("kujua_message")):
        found = get(doc["tasks"][0]["messages"][0], "contact", "_id")
    return text(found) or "_unassigned"


def keys(doc: dict[str, Any]) -> list[str]:
    kind = doc.get("type")
    if doc["_id"] in EVERYONES or kind in ("form", "translations", "ui-extension"):
        return ["_all"]
    if kind == "data_record":
        found = [subject(doc)]
        if says_yes(get(doc, "fields", "needs_signoff")):
            found += [each for each in links(doc.get("contact")) if each is not None and each != found[0]]
        return found
    if kind == "task":
        return [doc["user"]] if text(doc.get("user")) else []
    if kind == "target":
        return [doc["owner"]] if text(doc.get("owner")) else []
    if kind in CONTACTS:
        return [doc["_id"]]
    return []


def submitter(doc: dict[str, Any]) -> str | None:
    return text(get(doc, "contact", "_id")) if js_truthy(doc.get("form")) else None


def shortcode(doc: dict[str, Any]) -> str | None:
    return text(doc.get("patient_id")) or text(doc.get("place_id"))


def depth_rows(doc: dict[str, Any]) -> list[tuple[str, int]]:
    if doc.get("type") not in CONTACTS or doc["_id"] in EVERYONES:
        return []
    return [(ancestor, depth) for depth, ancestor in enumerate(links(doc)) if ancestor is not None]


def limits(roles: list[str], configured: list[dict[str, Any]]) -> tuple[int, int, bool]:
    applying = []
    for role in roles:
        for entry in configured:
            if entry["role"] == role:
                applying.append(entry)
                break
    if not applying:
        return -1, -1, False
    depth = max(entry["depth"] for entry in applying)
    tied = [entry for entry in applying if entry["depth"] == depth]
    report_depth = max(entry.get("report_depth", -1) for entry in tied)
    return depth, report_depth, any(entry.get("replicate_primary_contacts") for entry in tied)


def visible_ids(
    bodies: dict[str, dict[str, Any]], user: dict[str, Any], settings: dict[str, Any], deleted: set[str]
) -> set[str]:
    """All documents among these, by their last live bodies, that belong to the user.

    The deleted ones are subjects only where the user's settings keep them so (REPL-36).
    """
    gone = set() if user["keeps_deleted"] else deleted
    contact_depth, report_depth, primary_wanted = limits(user["roles"], settings["replication_depth"])

    def depth_in_scope(doc: dict[str, Any]) -> int | None:
        depths = [
            depth
            for ancestor, depth in depth_rows(doc)
            if ancestor in user["facilities"] and (contact_depth == -1 or depth <= contact_depth)
        ]
        return min(depths) if depths else None

    subjects: dict[str, int] = {"_all": 0, "org.couchdb.user:" + user["name"]: 0}
    if user["unassigned"] and user["facilities"]:
        subjects["_unassigned"] = 0

    def add(contact: dict[str, Any], depth: int) -> None:
        for each in (contact["_id"], shortcode(contact)):
            if each is not None:
                subjects[each] = min(depth, subjects.get(each, depth))

    primary: dict[str, int] = {}
    for doc in bodies.values():
        depth = depth_in_scope(doc)
        if depth is not None and doc["_id"] not in gone:
            add(doc, depth)
            contact = doc.get("contact")
            main = text(contact if not isinstance(contact, dict) else contact.get("_id"))
            if primary_wanted and main in bodies and bodies[main].get("type") in CONTACTS:
                primary[main] = min(depth, primary.get(main, depth))
    for main, depth in primary.items():
        if main not in gone:
            add(bodies[main], depth)

    sensitive = [*user["facilities"], user["contact_id"]]
    sensitive += [shortcode(bodies[each]) for each in list(sensitive) if each in bodies and depth_rows(bodies[each])]

    def visible(doc: dict[str, Any]) -> bool:
        if doc["_id"] in ("_design/medic-client", "org.couchdb.user:" + user["name"]):
            return True
        found = keys(doc)
        if not found:
            return False
        if "_all" in found:
            return True
        if doc["type"] in CONTACTS:
            return depth_in_scope(doc) is not None or doc["_id"] in primary
        matching = [key for key in found if key in subjects]
        if not matching:
            return False
        if doc["type"] != "data_record":
            return True
        sender = submitter(doc)
        private = says_yes(get(doc, "fields", "private"))
        if private and sender is not None and found[0] in sensitive and sender not in subjects:
            return False
        if report_depth == -1 or (sender is not None and sender == user["contact_id"]):
            return True
        return any(subjects[key] <= report_depth for key in matching)

    return {doc_id for doc_id, doc in bodies.items() if visible(doc)}
