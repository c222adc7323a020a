"""What we need to know of an XForm: its names, its repeats and the files it asks for."""

from __future__ import annotations

import re
from dataclasses import dataclass

from lxml import etree

from core.errors import InvalidInput
from core.xforms.safe_xml import parse_xml, qualified_name

WHAT = "Form XML"
NAMESPACES = {
    "xf": "http://www.w3.org/2002/xforms",
    "h": "http://www.w3.org/1999/xhtml",
    "jr": "http://openrosa.org/javarosa",
}
UNNAMED = "Unnamed Form"
FILE = re.compile(r"jr://file(?:-csv)?/(.+)", re.DOTALL)
MEDIA = re.compile(r"\s*jr://((?:images|audio|video)/[^\s].*?)\s*", re.DOTALL)


@dataclass(frozen=True)
class XForm:
    """`id` is the instance root's `id`, else its name. Paths are `/data/child`, without indexes."""

    id: str
    title: str = UNNAMED
    version: str | None = None
    description: str = ""
    repeats: frozenset[str] = frozenset()
    binaries: frozenset[str] = frozenset()
    files: tuple[str, ...] = ()
    media: frozenset[str] = frozenset()  # such as `images/net.png`, of labels and choices


def read_xform(data: bytes) -> XForm:
    """Read a form definition. InvalidInput when it is no XForm, TooLarge."""
    form = parse_xml(data, WHAT)
    root = primary_root(form)
    title = form.find("h:head/h:title", NAMESPACES)
    heading = text_of(title)
    meta = form.find("h:head/xf:model/xf:description", NAMESPACES)
    return XForm(
        id=form_id_of(root),
        title=heading or UNNAMED,
        version=root.get("version") or None,
        description=text_of(meta),
        repeats=frozenset(
            path_of(repeat.get("nodeset"))
            for repeat in form.iterfind("h:body//xf:repeat", NAMESPACES)
            if repeat.get("nodeset")
        ),
        binaries=frozenset(
            path_of(bind.get("nodeset"))
            for bind in form.iterfind("h:head/xf:model/xf:bind", NAMESPACES)
            if bind.get("type") == "binary" and bind.get("nodeset")
        ),
        files=tuple(
            dict.fromkeys(
                found[1]
                for each in form.iterfind("h:head/xf:model/xf:instance", NAMESPACES)
                if (found := FILE.fullmatch(each.get("src") or ""))
            )
        ),
        media=frozenset(
            found[1]
            for value in form.iterfind("h:head/xf:model/xf:itext//xf:value", NAMESPACES)
            if (found := MEDIA.fullmatch(value.text or ""))
        ),
    )


def text_of(element: etree._Element | None) -> str:
    return "" if element is None else "".join(map(str, element.itertext())).strip()


def primary_root(form: etree._Element) -> etree._Element:
    root = form.find("h:head/xf:model/xf:instance/*", NAMESPACES)
    if root is None:
        raise InvalidInput(f"{WHAT} must hold h:html/h:head/model/instance with the instance's root element")
    return root


def form_id_of(root: etree._Element) -> str:
    """How an instance names its form: the root's `id`, else its own namespace where it has one, else its name."""
    named = root.get("id")
    if named:
        return named
    namespace = etree.QName(root).namespace
    return namespace if namespace and namespace != NAMESPACES["xf"] else qualified_name(root)


def path_of(nodeset: str | None) -> str:
    return (nodeset or "").strip().rstrip("/")
