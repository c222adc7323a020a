"""A filled contact form as the contact, its new relations and its children (XC-1..8). Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lxml import etree

from core.couch.client import Doc
from core.documents import HARD_CODED_TYPES, id_of
from core.errors import InvalidInput
from core.lineage import minify_parent
from core.xforms.reports import Meaning, NewId, child_text, members
from core.xforms.safe_xml import qualified_name

RELATIONS = ("parent", "contact")
KEPT = ("_id", "type", "contact_type", "reported_date")
NEW, PARENT = "NEW", "PARENT"


def contact_docs(
    root: etree._Element,
    meaning: Meaning,
    type_id: str,
    *,
    new_id: NewId,
    now_ms: int,
    known: Mapping[str, Doc],
    stored: Doc | None = None,
) -> list[Doc]:
    """The main document first, then new relations, then children.

    `stored` is the contact that is edited; `known` holds the contacts that `named_contacts` asks for. InvalidInput
    names the group that is missing, or the contact that is not known.
    """
    path = f"/{qualified_name(root)}"
    group = group_of(root, type_id)
    given = members(group, meaning.repeats, f"{path}/{type_id}")
    main: Doc = {**(stored or {}), **{name: value for name, value in given.items() if name not in RELATIONS}}
    main |= {name: stored[name] for name in KEPT if name in stored} if stored else typed(type_id)
    main["_id"] = stored["_id"] if stored else given.get("_id") or new_id(f"{path}/{type_id}")
    main |= {**meaning.versioned, "reported_date": main.get("reported_date", now_ms)}
    siblings: dict[str, Doc] = {}
    for name in RELATIONS:
        if name in given and given[name] == NEW:
            siblings[name] = new_relation(root, name, meaning, new_id, now_ms)
    for name in RELATIONS:
        relate(main, name, given, siblings, known, stored)
    for name, sibling in siblings.items():
        place_sibling(sibling, main, known)
        main[name] = reference_to(sibling)
    return [main, *siblings.values(), *children(root, main, meaning, new_id, now_ms)]


def named_contacts(root: etree._Element, type_id: str) -> set[str]:
    """The ids of contacts that `contact_docs` needs to know."""
    groups = [group_of(root, type_id), *(child for child in root if qualified_name(child) in RELATIONS)]
    named = {relation_id(group, name) for group in groups for name in RELATIONS}
    return {each for each in named if each and each not in (NEW, PARENT)}


def relation_id(group: etree._Element, name: str) -> str:
    found = [child for child in group if qualified_name(child) == name]
    if not found:
        return ""
    return child_text(found[-1], "_id") if len(found[-1]) else (found[-1].text or "").strip()


def group_of(root: etree._Element, type_id: str) -> etree._Element:
    found = [child for child in root if qualified_name(child) == type_id]
    if not found:
        raise InvalidInput(f"The form has no group named {type_id}, the type of the contact")
    return found[-1]


def typed(type_id: str) -> Doc:
    return {"type": type_id} if type_id in HARD_CODED_TYPES else {"type": "contact", "contact_type": type_id}


def relate(
    doc: Doc, name: str, given: Doc, siblings: Mapping[str, Doc], known: Mapping[str, Doc], stored: Doc | None
) -> None:
    """Set, keep or remove a relation: absent keeps it, empty removes it (XC-3)."""
    if name not in given or name in siblings:
        return
    named = id_of(given[name])
    before = (stored or {}).get(name)
    if named is None:
        doc.pop(name, None)
    elif before is not None and id_of(before) == named:
        doc[name] = before
    else:
        doc[name] = known_reference(named, name, known)


def known_reference(named: str, what: str, known: Mapping[str, Doc]) -> Doc:
    if named not in known:
        raise InvalidInput(f"{what}: there is no contact {named}")
    return reference_to(known[named])


def reference_to(doc: Doc) -> Doc:
    """`{_id, parent}`: the id and the minified lineage."""
    parent = minify_parent(doc.get("parent"))
    return {"_id": doc["_id"], "parent": parent} if parent else {"_id": doc["_id"]}


def new_relation(root: etree._Element, name: str, meaning: Meaning, new_id: NewId, now_ms: int) -> Doc:
    """The new document of the group beside the main one that `NEW` asks for (XC-4)."""
    path = f"/{qualified_name(root)}/{name}"
    given = members(group_of(root, name), meaning.repeats, path)
    return {
        "type": "person",
        **given,
        "_id": given.get("_id") or new_id(path),
        **meaning.versioned,
        "reported_date": now_ms,
    }


def place_sibling(sibling: Doc, main: Doc, known: Mapping[str, Doc]) -> None:
    for name in RELATIONS:
        value: Any = sibling.pop(name, None)
        if value == PARENT:
            sibling[name] = reference_to(main)
        elif named := id_of(value):
            sibling[name] = known_reference(named, name, known)


def children(root: etree._Element, main: Doc, meaning: Meaning, new_id: NewId, now_ms: int) -> list[Doc]:
    """One document for each `repeat/child` under the root, below the main document (XC-5)."""
    top = f"/{qualified_name(root)}/repeat/child"
    found = [
        child
        for repeat in root
        if qualified_name(repeat) == "repeat"
        for child in repeat
        if qualified_name(child) == "child"
    ]
    docs = []
    for number, child in enumerate(found, 1):
        given = members(child, meaning.repeats, top)
        own_id = given.get("_id") or new_id(f"{top}[{number}]")
        fixed = {"_id": own_id, "parent": reference_to(main), **meaning.versioned, "reported_date": now_ms}
        docs.append({**given, **fixed})
    return docs
