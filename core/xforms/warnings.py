"""What is not wrong enough to refuse a form, but hardly what its author meant (FORM-41)."""

from __future__ import annotations

from collections.abc import Iterator

from lxml import etree

from core.xforms.definition import NAMESPACES, WHAT, path_of, primary_root
from core.xforms.references import ends_with, is_db_doc
from core.xforms.safe_xml import parse_xml, qualified_name

TEMPLATE = f"{{{NAMESPACES['jr']}}}template"


def warnings_of(data: bytes) -> list[str]:
    """One sentence for each oddity, in the order of the form. InvalidInput for what is no XForm."""
    form = parse_xml(data, WHAT)
    root = primary_root(form)
    nodes = list(instance_nodes(root, ""))
    paths = {path for path, _ in nodes}
    binds = [(path_of(bind.get("nodeset")), bind) for bind in form.iterfind("h:head/xf:model/xf:bind", NAMESPACES)]
    return [
        *(f"The bind of {path} has no node in the instance." for path, _ in binds if path not in paths),
        *([] if has_instance_id(root) else ["There is no meta/instanceID: a report sent twice is stored twice."]),
        *(f"The note {path} is required, but nobody can answer it." for path, bind in binds if is_required_note(bind)),
        *(
            f"{path} becomes a document but has no type."
            for path, node in nodes
            if is_db_doc(node) and not has_child(node, "type")
        ),
        *unknown_references(root, nodes),
        *(f"{path} is there more than once." for path in dict.fromkeys(repeated(root, ""))),
    ]


def instance_nodes(node: etree._Element, above: str) -> Iterator[tuple[str, etree._Element]]:
    path = f"{above}/{qualified_name(node)}"
    yield path, node
    for child in node:
        yield from instance_nodes(child, path)


def has_instance_id(root: etree._Element) -> bool:
    return root.get("instanceID") is not None or any(
        etree.QName(node).localname == "instanceID"
        for meta in root
        if etree.QName(meta).localname == "meta"
        for node in meta
    )


def is_required_note(bind: etree._Element) -> bool:
    note = bind.get("type") == "string" and bind.get("readonly") == "true()" and bind.get("calculate") is None
    return note and bind.get("required") not in (None, "", "false()")


def has_child(node: etree._Element, name: str) -> bool:
    return any(qualified_name(child) == name for child in node)


def unknown_references(root: etree._Element, nodes: list[tuple[str, etree._Element]]) -> Iterator[str]:
    targets = [path for path, node in nodes if is_db_doc(node) or node is root]
    for path, node in nodes:
        reference = node.get("db-doc-ref")
        if reference and not any(ends_with(target, reference) for target in targets):
            yield f"{path} refers to the document {reference}, which is not there."


def repeated(node: etree._Element, above: str) -> Iterator[str]:
    """Paths of siblings with one name; the template of a repeat stands beside its first instance."""
    path = f"{above}/{qualified_name(node)}"
    seen: set[str] = set()
    for child in node:
        if child.get(TEMPLATE) is not None or child.get("template") is not None:
            continue
        name = qualified_name(child)
        if name in seen:
            yield f"{path}/{name}"
        seen.add(name)
        yield from repeated(child, path)
