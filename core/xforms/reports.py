"""A filled form as a report and the documents it asks for, exactly as a phone makes them (XR-1..11). Pure."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any

from lxml import etree

from core.couch.client import Doc
from core.xforms.references import Node, is_db_doc, nodes_of, referenced
from core.xforms.safe_xml import qualified_name

NewId = Callable[[str], str]


@dataclass(frozen=True)
class Meaning:
    """What a form's document and definition say of its instances. Paths are `/data/child`, without indexes."""

    code: str
    form_version: Any = None
    repeats: Collection[str] = ()
    binaries: Collection[str] = ()
    keeps_xml: bool = False  # the submitted XML is attached to the report (OR-36)

    @property
    def versioned(self) -> Doc:
        return {} if self.form_version is None else {"form_version": self.form_version}


@dataclass(frozen=True)
class Produced:
    """A report, further documents with the ids a form gave them in `named`, and pictures drawn on the screen."""

    report: Doc
    others: list[Doc] = field(default_factory=list)
    named: frozenset[str] = frozenset()
    drawings: dict[str, bytes] = field(default_factory=dict)


def report_of(
    root: etree._Element,
    meaning: Meaning,
    *,
    report_id: str,
    new_id: NewId,
    now_ms: int,
    contact: Doc | None = None,
    phone: str | None = None,
) -> Produced:
    """The documents of an instance. `new_id` makes an id from a node's path with indexes; `root` is changed."""
    nodes = nodes_of(root)
    own = [node for node in nodes[1:] if is_db_doc(node.element)]
    given = {node.place: child_text(node.element, "_id") for node in own}
    ids = {node.place: given[node.place] or new_id(node.place) for node in own}
    resolve_references(nodes, own, {**ids, nodes[0].place: report_id})
    drawings = take_drawings(nodes, meaning.code)
    report: Doc = {
        "_id": report_id,
        "form": meaning.code,
        "type": "data_record",
        "content_type": "xml",
        **({"from": phone} if phone else {}),
        **({"contact": contact} if contact else {}),
        **meaning.versioned,
        "hidden_fields": hidden_fields(nodes, own),
        "fields": members(root, meaning.repeats, nodes[0].path),
        "reported_date": now_ms,
    }
    others = [
        {
            **members(node.element, meaning.repeats, node.path),
            "_id": ids[node.place],
            **meaning.versioned,
            "reported_date": now_ms,
        }
        for node in own
    ]
    return Produced(report, others, frozenset(each for each in given.values() if each), drawings)


def members(element: etree._Element, repeats: Collection[str], path: str) -> Doc:
    """The children as an object: repeats are lists, of others with one name the last wins (XR-3, XR-4)."""
    found: Doc = {}
    for child in element:
        name = qualified_name(child)
        below = f"{path}/{name}"
        value = members(child, repeats, below) if len(child) else child.text or ""
        if below in repeats:
            found.setdefault(name, []).append(value)
        else:
            found[name] = value
    return found


def child_text(element: etree._Element, name: str) -> str:
    found = [child for child in element if qualified_name(child) == name]
    return (found[-1].text or "").strip() if found else ""


def resolve_references(nodes: list[Node], own: list[Node], ids: dict[str, str]) -> None:
    """Write the id of the document each `db-doc-ref` means into its node; one to nowhere stays as it is (XR-7)."""
    candidates = [nodes[0], *own]
    for node in nodes:
        reference = node.element.get("db-doc-ref")
        if reference is None or len(node.element):
            continue
        target = referenced(node, reference, candidates)
        if target is not None:
            node.element.text = ids[target.place]


def hidden_fields(nodes: list[Node], own: list[Node]) -> list[str]:
    """Dotted paths of hidden nodes and of extra documents, without those below another one (XR-8)."""
    extra = {node.place for node in own}
    marked = [
        node.path for node in nodes[1:] if node.place in extra or (node.element.get("tag") or "").lower() == "hidden"
    ]
    paths = {path: None for path in marked if not any(path.startswith(f"{other}/") for other in marked)}
    return [".".join(path.split("/")[2:]) for path in paths]


def take_drawings(nodes: list[Node], code: str) -> dict[str, bytes]:
    """What `type="binary"` nodes hold as base64 becomes attachments; the nodes are emptied (XR-9).

    Text that is no base64 is the name of a file and stays.
    """
    drawings: dict[str, bytes] = {}
    for node in nodes:
        if (node.element.get("type") or "").lower() != "binary" or len(node.element):
            continue
        text = "".join((node.element.text or "").split())
        try:
            data = base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError):
            continue
        if data:
            drawings[f"user-file/{code}/{'/'.join(node.place.split('/')[2:])}"] = data
            node.element.text = ""
    return drawings


def file_names(root: etree._Element, binaries: Collection[str]) -> list[str]:
    """The files an instance names in its binary nodes, in document order (OR-29)."""
    return list(
        dict.fromkeys(
            text
            for node in nodes_of(root)
            if node.path in binaries and not len(node.element) and (text := (node.element.text or "").strip())
        )
    )


def texts_of(root: etree._Element) -> set[str]:
    """Every text of an instance that may be a file's name."""
    return {text for element in root.iter() if not len(element) and (text := (element.text or "").strip())}
