"""A form's HTML as somebody looks at it without the engine that fills it in: with its choices and its pictures."""

from __future__ import annotations

import re
from collections.abc import Iterator
from copy import deepcopy
from typing import cast
from urllib.parse import quote

from lxml import etree, html

from core.errors import InvalidInput
from core.xforms.safe_xml import parse_xml

WHAT = "The model"
LIST = re.compile(r"instance\('([^']+)'\)/root/item")
MOST_CHOICES = 100  # of one question
TEMPLATES = etree.XPath("//*[contains(concat(' ', @class, ' '), ' itemset-template ')]")
LABELS = etree.XPath(".//*[contains(concat(' ', @class, ' '), ' itemset-labels ')]")


def preview_of(form: bytes, model: bytes, media_url: str) -> str:
    """The HTML with the choices of lists in their questions, whatever filters them, and media below `media_url`.

    InvalidInput when either is not what a conversion makes.
    """
    try:
        root = html.fragment_fromstring(form.decode(errors="replace"))
    except etree.ParserError as error:
        raise InvalidInput(f"The form's HTML cannot be read: {error}") from error
    items = items_by_list(parse_xml(model, WHAT))
    for template in cast("list[etree._Element]", TEMPLATES(root)):
        named = LIST.match(template.get("data-items-path") or "")
        write_choices(template, items.get(named[1], []) if named else [])
    for element in root.iter(etree.Element):
        source = element.get("data-media-src")
        if source:
            element.set("src", media_url + quote(source))
    return str(html.tostring(root, encoding="unicode"))


def items_by_list(model: etree._Element) -> dict[str, list[dict[str, str]]]:
    """The choices of each list: the texts of their members by name."""
    return {
        instance.get("id") or "": [
            {etree.QName(member).localname: member.text or "" for member in item}
            for item in instance.iterfind("{*}root/{*}item")
        ]
        for instance in model.iterfind("{*}instance")
    }


def write_choices(template: etree._Element, items: list[dict[str, str]]) -> None:
    """Put each choice before its template, which goes, as the engine does."""
    question = next(iter(template.iterancestors("fieldset", "label")), template)
    labels = next(iter(cast("list[etree._Element]", LABELS(question))), None)
    label_name = "label" if labels is None else labels.get("data-label-ref") or "label"
    for item in items[:MOST_CHOICES]:
        choice = deepcopy(template)
        choice.attrib.pop("class", "")
        choice.tail = None
        texts = list(texts_of(labels, item.get(label_name, ""), item.get("label") or item.get("name", "")))
        if choice.tag == "option":
            choice.text = " / ".join(text.text or "" for text in texts)
        else:
            choice.extend(texts)
        template.addprevious(choice)
    for gone in (template, labels):
        parent = None if gone is None else gone.getparent()
        if parent is not None and gone is not None:
            parent.remove(gone)


def texts_of(labels: etree._Element | None, text_id: str, text: str) -> Iterator[etree._Element]:
    """The label of a choice, in each language where it is translated."""
    translated = [] if labels is None else [each for each in labels if each.get("data-itext-id") == text_id]
    for each in translated:
        found = deepcopy(each)
        found.tail = None
        yield found
    if not translated:
        plain = etree.Element("span", {"class": "option-label active"})
        plain.text = text
        yield plain
