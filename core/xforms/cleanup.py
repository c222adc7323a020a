"""What an XForm of pyxform needs beyond pyxform to be one of this field's forms (65 CONF-60..68)."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import cast

from lxml import etree

from core.xforms.definition import NAMESPACES, WHAT, path_of, primary_root
from core.xforms.safe_xml import parse_xml, qualified_name

XF, JR = (f"{{{NAMESPACES[prefix]}}}" for prefix in ("xf", "jr"))
TEMPLATE, COUNT = f"{JR}template", f"{JR}count"
EMPTY_LABELS = frozenset({"NO_LABEL", "DELETE_THIS_LINE"})
LOCATION = ("lat", "long", "error", "message")
PLAIN_PATH = re.compile(r"\s*(/[\w.:/-]+)\s*")
WHOLE_LIST = re.compile(r"instance\('([^']+)'\)/root/item")
TEXT_ID = re.compile(r"jr:itext\('([^']+)'\)")


def cleaned(xform: str, hidden_fields: Collection[str] = (), *, collect: bool = False) -> bytes:
    """The XForm as the field's own tools leave it; `collect` for forms that only external clients fill in."""
    form = parse_xml(xform.encode(), WHAT)
    root = primary_root(form)
    if not collect:
        add_location(root)
        unmark_default_language(form)
    tag_hidden(root, hidden_fields)
    write_out_choices_with_media(form)
    fill_in_pictures(form, root)
    remove_empty_labels(form)
    remove_first_repeats(root)
    restore_counts(form, root)
    resolve_db_doc_refs(root)
    return etree.tostring(form, encoding="utf-8", xml_declaration=True)


def add_location(root: etree._Element) -> None:
    """Where the phone tells its position: `inputs/meta/location` (CONF-60)."""
    inputs = next((child for child in root.iter() if etree.QName(child).localname == "inputs"), None)
    if inputs is None or inputs.find(f"{XF}meta/{XF}location") is not None:
        return
    meta = etree.Element(f"{XF}meta")
    location = etree.SubElement(meta, f"{XF}location")
    for name in LOCATION:
        etree.SubElement(location, f"{XF}{name}")
    inputs.insert(0, meta)


def unmark_default_language(form: etree._Element) -> None:
    """The user's language counts, not the author's (CONF-61)."""
    for translation in form.iter(f"{XF}translation"):
        if "default" in translation.attrib:
            del translation.attrib["default"]


def tag_hidden(root: etree._Element, names: Collection[str]) -> None:
    for node in root.iter():
        if qualified_name(node) in names:
            node.set("tag", "hidden")  # CONF-62


def write_out_choices_with_media(form: etree._Element) -> None:
    """Choices with pictures stand in their question, where Enketo shows them (CONF-64)."""
    model = form.find("h:head/xf:model", NAMESPACES)
    if model is None:
        return
    with_media = {
        text.get("id")
        for text in model.iter(f"{XF}text")
        if any(value.get("form") for value in text.iter(f"{XF}value"))
    }
    lists = {instance.get("id"): instance for instance in model.iterfind("xf:instance[@id]", NAMESPACES)}
    for itemset in list(form.iter(f"{XF}itemset")):
        named = WHOLE_LIST.fullmatch((itemset.get("nodeset") or "").strip())
        instance = lists.get(named[1]) if named else None
        items = [] if instance is None else instance.findall("xf:root/xf:item", NAMESPACES)
        texts = [item.findtext(f"{XF}itextId") for item in items]
        if not with_media.intersection(texts):
            continue
        question = itemset.getparent()
        assert question is not None
        at = question.index(itemset)
        question.remove(itemset)
        for offset, (item, text) in enumerate(zip(items, texts, strict=True)):
            written = etree.Element(f"{XF}item")
            etree.SubElement(written, f"{XF}label", ref=f"jr:itext('{text}')")
            etree.SubElement(written, f"{XF}value").text = item.findtext(f"{XF}name")
            question.insert(at + offset, written)


def fill_in_pictures(form: etree._Element, root: etree._Element) -> None:
    """A picture given as a default is text, not an expression to be computed (CONF-65)."""
    shown = {
        control.get("ref")
        for control in form.iterfind("h:body//xf:input", NAMESPACES)
        if "display-base64-image" in (control.get("appearance") or "").split()
    }
    for setvalue in list(form.iter(f"{XF}setvalue")):
        path = setvalue.get("ref")
        node = node_at(root, path) if path in shown else None
        if node is None:
            continue
        node.text = (setvalue.get("value") or setvalue.text or "").strip().strip("'\"")
        cast("etree._Element", setvalue.getparent()).remove(setvalue)


def remove_empty_labels(form: etree._Element) -> None:
    """Labels that say only that there is none, in the table or in all translations (CONF-66)."""
    texts: dict[str, list[etree._Element]] = {}
    for text in form.iter(f"{XF}text"):
        texts.setdefault(text.get("id") or "", []).append(text)
    empty = {
        text_id
        for text_id, found in texts.items()
        if all((value.text or "").strip() in EMPTY_LABELS for text in found for value in text)
    }
    for label in list(form.iterfind("h:body//xf:label", NAMESPACES)):
        named = TEXT_ID.fullmatch(label.get("ref") or "")
        says_nothing = (label.text or "").strip() in EMPTY_LABELS and not len(label)
        if says_nothing or (named and named[1] in empty):
            cast("etree._Element", label.getparent()).remove(label)
    for text_id in empty:
        for text in texts[text_id]:
            cast("etree._Element", text.getparent()).remove(text)


def remove_first_repeats(root: etree._Element) -> None:
    """A repeat begins with no instance of its own beside the template (CONF-67)."""
    for template in [node for node in root.iter() if node.get(TEMPLATE) is not None]:
        following = template.getnext()
        if following is not None and following.tag == template.tag and following.get(TEMPLATE) is None:
            cast("etree._Element", following.getparent()).remove(following)


def restore_counts(form: etree._Element, root: etree._Element) -> None:
    """A repeat that is counted by another question gets a `<repeat>_count` of its own (CONF-67)."""
    model = form.find("h:head/xf:model", NAMESPACES)
    for repeat in form.iterfind("h:body//xf:repeat", NAMESPACES):
        path = path_of(repeat.get("nodeset"))
        counted_by = PLAIN_PATH.fullmatch(repeat.get(COUNT) or "")
        own = f"{path}_count"
        node = node_at(root, path)
        if counted_by is None or counted_by[1] == own or node is None or model is None:
            continue
        if node_at(root, own) is None:
            node.addprevious(etree.Element(f"{node.tag}_count"))
        calculate = {"nodeset": own, "type": "string", "readonly": "true()", "calculate": f" {counted_by[1]} "}
        model.append(etree.Element(f"{XF}bind", calculate))
        repeat.set(COUNT, f" {own} ")


def resolve_db_doc_refs(root: etree._Element) -> None:
    """References by absolute paths that begin with the root's name; others stay as they are (CONF-68)."""
    name, form_id = qualified_name(root), root.get("id")
    for node in root.iter():
        steps = (node.get("db-doc-ref") or "").strip().split("/")
        if steps[0] == "..":
            above = own_path(node)
            while steps and steps[0] == "..":
                above, steps = above[:-1], steps[1:]
            steps = ["", *above, *steps]
        if steps[0] == "" and len(steps) > 1:
            first = name if steps[1] == form_id else steps[1]
            node.set("db-doc-ref", "/".join(["", first, *steps[2:]]))


def own_path(node: etree._Element) -> list[str]:
    """The names from the instance's root down to the node."""
    names = [qualified_name(node)]
    for above in node.iterancestors():
        if above.tag == f"{XF}instance":
            break
        names.append(qualified_name(above))
    return names[::-1]


def node_at(root: etree._Element, path: str | None) -> etree._Element | None:
    """The first node of the instance at a path without indexes."""
    names = (path or "").strip().split("/")[1:]
    if not names or names[0] != qualified_name(root):
        return None
    found: etree._Element | None = root
    for name in names[1:]:
        if found is None:
            return None
        found = next((child for child in found if qualified_name(child) == name), None)
    return found
