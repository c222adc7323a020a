"""A filled form as it was submitted: which form it is of, who it is, and what tells it from another (OR-25..27)."""

from __future__ import annotations

import hashlib
import re
from copy import deepcopy
from dataclasses import dataclass, field

from lxml import etree

from core.uuids import uuid7
from core.xforms.definition import form_id_of
from core.xforms.safe_xml import parse_xml

WHAT = "Submission XML"
UUID = re.compile(r"uuid:([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})", re.IGNORECASE)


@dataclass(frozen=True)
class Instance:
    """`sha256` is of the canonical XML: the same answers written otherwise are the same."""

    root: etree._Element = field(repr=False)
    form_id: str
    version: str | None
    instance_id: str
    sha256: str
    deprecated_id: str = ""  # of the instance that this one replaces

    @property
    def doc_id(self) -> str:
        return doc_id_of(self.instance_id)

    def copy(self) -> etree._Element:
        """The root once more, for whoever changes it."""
        return deepcopy(self.root)


def read_instance(data: bytes, charset: str | None = None) -> Instance:
    """`charset` is that of the message, for XML that declares no encoding. InvalidInput, TooLarge.

    An instance without an id gets a new one, and cannot be told from its copy (OR-26).
    """
    root = parse_xml(data, WHAT, charset)
    return Instance(
        root=root,
        form_id=form_id_of(root),
        version=root.get("version") or None,
        instance_id=meta_text(root, "instanceID") or root.get("instanceID") or f"uuid:{uuid7()}",
        sha256=hashlib.sha256(etree.tostring(root, method="c14n")).hexdigest(),
        deprecated_id=meta_text(root, "deprecatedID"),
    )


def meta_text(root: etree._Element, name: str) -> str:
    """The text of an element of the root's `meta`, in whatever namespace; empty when there is none."""
    for meta in root:
        if etree.QName(meta).localname == "meta":
            for child in meta:
                if etree.QName(child).localname == name:
                    return (child.text or "").strip()
    return ""


def doc_id_of(instance_id: str) -> str:
    """The UUID of an instance's id, else a digest of it."""
    found = UUID.fullmatch(instance_id)
    return found[1] if found else f"or-{hashlib.sha256(instance_id.encode()).hexdigest()[:32]}"
