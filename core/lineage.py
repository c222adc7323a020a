"""The contacts a document names: its references reduced to ids before it is stored, and its chain of places (35 §8)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from core.couch.client import Doc
from core.documents import CONTACT_DOC_TYPES, contact_type_id, id_of
from core.errors import InvalidInput

DEEPEST = 50
PATIENT_KEYS = (("fields", "patient_id"), ("fields", "patient_uuid"), ("patient_id",))
PLACE_KEYS = (("fields", "place_id"), ("place_id",))


def is_contact_doc(doc: Doc) -> bool:
    """Whether the document is a person or place by its `type`, whatever the settings say."""
    kind = doc.get("type")
    return isinstance(kind, str) and (kind in CONTACT_DOC_TYPES or kind == "national_office")


def is_record(doc: Doc) -> bool:
    return doc.get("type") == "data_record"


# --- minify -----------------------------------------------------------------------------------------------------------


def minify(doc: Doc) -> Doc:
    """A copy with its references reduced to ids (MOD-40, HYD-5). Neither contact nor record: the same document.

    Raises InvalidInput for a chain of more than 50 ancestors.
    """
    if is_contact_doc(doc):
        small = {**doc, **minified_references(doc)}
        if isinstance(doc.get("linked_docs"), dict):
            small["linked_docs"] = {tag: id_of(each) or each for tag, each in doc["linked_docs"].items()}
        return small
    if is_record(doc):
        small = {**doc, **minified_references(doc)}
        small.pop("patient", None)
        small.pop("place", None)
        return small
    return doc


def minified_references(doc: Doc) -> Doc:
    references = {}
    if isinstance(doc.get("parent"), dict) and id_of(doc["parent"]):
        references["parent"] = minify_parent(doc["parent"])
    if isinstance(doc.get("contact"), dict):
        references["contact"] = minify_contact(doc["contact"])
    return references


def minify_contact(contact: Mapping[str, Any]) -> Doc:
    """`{_id, parent}` of a contact; a submitter known by its place alone has only `parent`."""
    small = {"_id": contact["_id"]} if id_of(contact) else {}
    parent = minify_parent(contact.get("parent"))
    if parent:
        small["parent"] = parent
    return small or dict(contact)


def minify_parent(parent: Any) -> Doc:
    """The chain of `{_id, parent}` from a place to the root, up to the first element without `_id`."""
    ids: list[str] = []
    while isinstance(parent, dict) and (found := id_of(parent)):
        ids.append(found)
        if len(ids) > DEEPEST:
            raise InvalidInput(f"parent: a lineage must not have more than {DEEPEST} places")
        parent = parent.get("parent")
    return chain_of({"_id": each} for each in ids)


def chain_of(nodes: Iterable[Doc]) -> Doc:
    """Nest the nodes, nearest first, under each other's `parent`; empty for none."""
    chain: Doc = {}
    for node in reversed(list(nodes)):
        if chain:
            node["parent"] = chain
        chain = node
    return chain


# --- reading chains ---------------------------------------------------------------------------------------------------


def ancestors(doc: Any) -> Iterator[Doc]:
    """The `parent` objects above a document, nearest first; a cycle ends it (MOD-45)."""
    seen = {id_of(doc)} if isinstance(doc, dict) else set()
    node = doc.get("parent") if isinstance(doc, dict) else None
    while isinstance(node, dict) and node and len(seen) <= DEEPEST + 1:
        found = id_of(node)
        if found is not None and found in seen:
            return
        seen.add(found)
        yield node
        node = node.get("parent")


def lineage(doc: Any) -> Iterator[Doc]:
    """The document itself, then its ancestors."""
    if isinstance(doc, dict) and doc:
        yield doc
        yield from ancestors(doc)


def nearest(doc: Any, type_id: str) -> Doc | None:
    """The nearest contact of that type, from the document itself up. Needs a hydrated document."""
    return next((each for each in lineage(doc) if contact_type_id(each) == type_id), None)


def subject_key(doc: Doc, keys: Sequence[Sequence[str]]) -> str | None:
    """The first truthy value among those paths, as text: how a report names its patient or place (HYD-3)."""
    for path in keys:
        value: Any = doc
        for name in path:
            value = value.get(name) if isinstance(value, dict) else None
        if value and isinstance(value, str | int | float) and not isinstance(value, bool):
            return str(value)
    return None


def subject_keys(doc: Doc) -> list[str]:
    return [key for keys in (PATIENT_KEYS, PLACE_KEYS) if (key := subject_key(doc, keys))]


def named_ids(doc: Doc) -> list[str]:
    """The ids a document names by itself: its embedded chain, and a record's submitter with its chain."""
    ids = chain_ids(doc)
    contact = doc.get("contact")
    if is_record(doc) and contact:
        ids += [found] if (found := id_of(contact)) else []
        ids += chain_ids(contact)
    return ids


def chain_ids(doc: Any) -> list[str]:
    """The ids of the embedded `parent` chain, up to the first element without one (MOD-40) or a repetition."""
    ids: list[str] = []
    own = id_of(doc) if isinstance(doc, dict) else None
    node = doc.get("parent") if isinstance(doc, dict) else None
    while isinstance(node, dict) and len(ids) <= DEEPEST:
        found = node.get("_id")
        if not isinstance(found, str) or not found or found == own or found in ids:
            break
        ids.append(found)
        node = node.get("parent")
    return ids


def linked_ids(contact: Doc) -> list[str]:
    """The primary contact and the linked documents of a contact."""
    links = contact.get("linked_docs")
    references = [contact.get("contact"), *(links.values() if isinstance(links, dict) else ())]
    return [found for each in references if (found := id_of(each))]
