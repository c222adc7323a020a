"""Hydrate documents with the contacts they name, and minify them again before they are stored (35 §8)."""

from __future__ import annotations

import logging
from asyncio import gather
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from core.couch.client import Database, Doc
from core.documents import CONTACT_DOC_TYPES, contact_type_id, id_of
from core.errors import InvalidInput

log = logging.getLogger(__name__)

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


# --- reading hydrated documents ---------------------------------------------------------------------------------------


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


# --- hydrate ----------------------------------------------------------------------------------------------------------


async def hydrate(db: Database, docs: Sequence[Doc], *, shared: bool = False) -> list[Doc]:
    """Copies of the documents with parents, contacts, links and subjects in full (MOD-42..46), in the same order.

    One view read for the subjects' shortcodes and at most four multi-gets, whatever the number of documents: named
    ids and embedded chains; subjects' ids that might have been shortcodes; chains only seen in what came; primary
    contacts and links. Documents need not be stored.
    Only the levels themselves are copied: nested values are shared with `docs` and must not be changed in place.
    `shared`, for who only writes them out: a contact that many of them name is one object in all of them.
    """
    wanted = [doc for doc in docs if is_contact_doc(doc) or is_record(doc)]
    if not wanted:
        return list(docs)
    keys = {key for doc in wanted if is_record(doc) for key in subject_keys(doc)}
    named = {each for doc in wanted for each in named_ids(doc)}
    asked = named | {each for each in keys if not looks_like_shortcode(each)}
    known, by_shortcode = await gather(db.get_many(sorted(asked)), find_by_shortcodes(db, keys))
    known |= {doc["_id"]: doc for doc in by_shortcode.values()}
    asked |= known.keys()

    ids = keys - by_shortcode.keys() - asked  # seldom any
    known |= await db.get_many(sorted(ids))
    asked |= ids
    chains = {each for doc in known.values() for each in chain_ids(doc)} - asked
    known |= await db.get_many(sorted(chains))
    asked |= chains
    links = {each for doc in (*wanted, *known.values()) if is_contact_doc(doc) for each in linked_ids(doc)} - asked
    known |= await db.get_many(sorted(links))
    if not shared:
        return [hydrated(doc, by_shortcode, known, lambda contact: hydrated_contact(contact, known)) for doc in docs]
    made: dict[int, Doc] = {}

    def once(contact: Doc) -> Doc:
        if id(contact) not in made:
            made[id(contact)] = hydrated_contact(contact, known)
        return made[id(contact)]

    return [hydrated(doc, by_shortcode, known, once) for doc in docs]


async def find_by_shortcodes(db: Database, shortcodes: Iterable[str]) -> dict[str, Doc]:
    """The contact of each shortcode in use; the lowest document id wins when several share one (HYD-4)."""
    keys = [["shortcode", each] for each in sorted(set(shortcodes))]
    if not keys:
        return {}
    found: dict[str, Doc] = {}
    for row in await db.view("medic-client", "contacts_by_reference", keys=keys, include_docs=True):
        shortcode, doc = row["key"][1], row.get("doc")
        if not doc:
            continue
        other = found.get(shortcode)
        if other is not None and other["_id"] != doc["_id"]:
            log.warning("shortcode %s is shared by %s and %s", shortcode, other["_id"], doc["_id"])
        if other is None or doc["_id"] < other["_id"]:
            found[shortcode] = doc
    return found


def looks_like_shortcode(key: str) -> bool:
    """As they are generated. What does may yet be the id of a document."""
    return key.isascii() and key.isdigit()


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


def hydrated(doc: Doc, by_shortcode: Mapping[str, Doc], known: Mapping[str, Doc], in_full: Callable[[Doc], Doc]) -> Doc:
    """The document with its contacts `in_full`."""
    if is_contact_doc(doc):
        return in_full(doc)
    if not is_record(doc):
        return doc
    full = dict(doc)
    contact = doc.get("contact")
    if contact:
        submitter = known.get(id_of(contact) or "") or contact
        full["contact"] = in_full(submitter) if isinstance(submitter, dict) else submitter
    for name, keys in (("patient", PATIENT_KEYS), ("place", PLACE_KEYS)):
        full.pop(name, None)
        key = subject_key(doc, keys)
        subject = (by_shortcode.get(key) or known.get(key)) if key else None
        if subject is not None and is_contact_doc(subject):
            full[name] = in_full(subject)
    return full


def hydrated_contact(contact: Doc, known: Mapping[str, Doc]) -> Doc:
    """The contact under its full ancestors, each with its primary contact and links one level deep (MOD-42).

    The chain is the one embedded in the contact: what an ancestor's own document says of its parents is left out.
    """
    full = with_links(contact, known)
    chain = chain_of(without_parent(with_links(known.get(each, {"_id": each}), known)) for each in chain_ids(contact))
    if chain:
        full["parent"] = chain
    return full


def without_parent(place: Doc) -> Doc:
    place.pop("parent", None)
    return place


def with_links(contact: Doc, known: Mapping[str, Doc]) -> Doc:
    full = dict(contact)
    primary = known.get(id_of(contact.get("contact")) or "")
    if primary is not None:
        full["contact"] = dict(primary)
    if isinstance(contact.get("linked_docs"), dict):
        full["linked_docs"] = {
            tag: dict(known[found]) if (found := id_of(each)) in known and found is not None else each
            for tag, each in contact["linked_docs"].items()
        }
    return full
