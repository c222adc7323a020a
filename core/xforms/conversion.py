"""An XForm as the HTML and the model that Enketo Core shows (FORM-20..29)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, cast

from lxml import etree, html

import core
from core.errors import InvalidInput
from core.xforms.definition import WHAT, primary_root
from core.xforms.markdown import TOKEN, TOKEN_MARKS, html_of
from core.xforms.safe_xml import parse_xml, qualified_name

# Beside `core`, in a checkout as in an installed package.
FOLDER = Path(core.__file__).resolve().parents[1] / "forms"
FORM_SHEET = FOLDER / "form.xsl"
MODEL_SHEET = FOLDER / "enketo-transformer" / "openrosa2xmlmodel.xsl"

CHT = "http://communityhealthtoolkit.org"  # of `cht:` attributes
LABELS = etree.XPath(
    "//span[contains(concat(' ', @class, ' '), ' question-label ') or contains(concat(' ', @class, ' '), ' or-hint ')]"
)


@dataclass(frozen=True)
class Converted:
    form: str
    model: str


def convert(data: bytes) -> Converted:
    """The HTML form and the XML model of an XForm. InvalidInput says why there is none."""
    source = parse_xml(data, WHAT)
    attributes = cht_attributes(primary_root(source))
    page = transformed(FORM_SHEET, source)
    form = page.find("form")
    if form is None:
        raise InvalidInput(f"{WHAT} cannot be converted: the form came out empty")
    add_cht_attributes(form, attributes)
    for label in cast("list[etree._Element]", LABELS(form)):
        render_markdown(label)
    etree.cleanup_namespaces(page)
    text = str(html.tostring(form, encoding="unicode", with_tail=False))
    return Converted(text.replace(' src="jr://', ' data-media-src="'), model_of(source))


def model_of(source: etree._Element) -> str:
    """`<model>` with its instances alone (FORM-28)."""
    root = transformed(MODEL_SHEET, source)
    model = root[0] if len(root) else None
    if model is None or not len(model):
        raise InvalidInput(f"{WHAT} cannot be converted: the model came out empty")
    return etree.tostring(model, encoding="unicode", with_tail=False)


def transformed(sheet: Path, source: etree._Element) -> etree._Element:
    """The result's root. InvalidInput for anything the stylesheet reports (FORM-21)."""
    transform = stylesheet(sheet)
    try:
        result = transform(source.getroottree())
    except etree.XSLTApplyError as error:
        raise InvalidInput(f"{WHAT} cannot be converted: {error}") from error
    said = [entry.message for entry in cast(Any, transform).error_log]
    if said:
        raise InvalidInput(f"{WHAT} cannot be converted: {'; '.join(said[:5])}")
    root = result.getroot()
    if root is None:
        raise InvalidInput(f"{WHAT} cannot be converted: nothing came out")
    return root


@cache
def stylesheet(path: Path) -> etree.XSLT:
    nothing = cast(Any, etree.XSLTAccessControl).DENY_ALL
    return etree.XSLT(etree.parse(str(path)), access_control=nothing)


# --- what the stylesheets leave to us (FORM-25) -----------------------------------------------------------------------


def cht_attributes(root: etree._Element) -> dict[str, dict[str, str]]:
    """Instance path -> the `cht:` attributes of that node, by their local names."""
    found: dict[str, dict[str, str]] = {}

    def collect(node: etree._Element, above: str) -> None:
        path = f"{above}/{qualified_name(node)}"
        own = {
            etree.QName(name).localname: str(value)
            for name, value in node.attrib.items()
            if isinstance(name, str) and is_cht(node, name)
        }
        if own:
            found.setdefault(path, {}).update(own)
        for child in node:
            collect(child, path)

    collect(root, "")
    return found


def is_cht(node: etree._Element, name: str) -> bool:
    namespace = etree.QName(name).namespace
    return namespace is not None and (namespace == CHT or node.nsmap.get("cht") == namespace)


def add_cht_attributes(form: etree._Element, attributes: dict[str, dict[str, str]]) -> None:
    """Copy them to the question that holds the path, else to the element itself."""
    if not attributes:
        return
    for element in form.iter(etree.Element):
        own = attributes.get(element.get("data-name") or element.get("name") or "")
        if not own:
            continue
        questions = [each for each in element.iterancestors("label", "fieldset") if is_question(each)]
        target = questions[0] if questions else element
        for name, value in own.items():
            target.set(f"data-cht-{name}", value)


def is_question(element: etree._Element) -> bool:
    return "question" in (element.get("class") or "").split()


def render_markdown(label: etree._Element) -> None:
    """Replace the content by the HTML of its markdown; placeholders for values of the form stay as they are."""
    outputs: list[etree._Element] = []
    parts = [TOKEN_MARKS.sub("", label.text or "")]
    for child in list(label):
        if "or-output" in (child.get("class") or ""):
            parts.append(f"\ue000{len(outputs)}\ue001")
            outputs.append(child)
        else:
            parts.append(TOKEN_MARKS.sub("", html.tostring(child, encoding="unicode", with_tail=False)))
        parts.append(TOKEN_MARKS.sub("", child.tail or ""))
    before = "".join(parts)
    if not before.strip():
        return
    fragment = html.fragment_fromstring(html_of(before, len(outputs)), create_parent="span")
    for child in list(label):
        child.tail = None
        label.remove(child)
    label.text = fragment.text
    label.extend(list(fragment))
    place_outputs(label, outputs)


def place_outputs(label: etree._Element, outputs: list[etree._Element]) -> None:
    """Put the placeholders where their tokens stand; one within an attribute has no place there."""
    if not outputs:
        return
    for element in list(label.iter(etree.Element)):
        for name, value in element.attrib.items():
            if TOKEN.search(str(value)):
                del element.attrib[name]
        pieces = TOKEN.split(element.text or "")
        element.text = pieces[0]
        for at in range(1, len(pieces), 2):
            element.insert(at // 2, with_tail(outputs[int(pieces[at])], pieces[at + 1]))
        if element is label:
            continue
        pieces = TOKEN.split(element.tail or "")
        element.tail = pieces[0]
        for at in range(len(pieces) - 2, 0, -2):
            output = with_tail(outputs[int(pieces[at])], pieces[at + 1])
            tail, element.tail = element.tail, None
            element.addnext(output)
            element.tail = tail


def with_tail(output: etree._Element, tail: str) -> etree._Element:
    output.tail = tail
    return output
