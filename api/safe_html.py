"""Text that a deployment wrote as HTML, without anything that could act: scripts, forms, frames, styles."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from lxml import etree, html

TAGS = frozenset({
    "a", "abbr", "b", "blockquote", "br", "caption", "code", "dd", "div", "dl", "dt", "em", "h1", "h2", "h3",
    "h4", "h5", "h6", "hr", "i", "img", "li", "ol", "p", "pre", "s", "section", "small", "span", "strong",
    "sub", "sup", "table", "tbody", "td", "tfoot", "th", "thead", "tr", "u", "ul",
})  # fmt: skip
REMOVED_WHOLE = frozenset({
    "applet", "audio", "base", "button", "canvas", "embed", "form", "frame", "frameset", "head", "iframe",
    "input", "link", "math", "meta", "noembed", "noframes", "noscript", "object", "option", "plaintext",
    "script", "select", "style", "svg", "template", "textarea", "title", "video", "xmp",
})  # fmt: skip
ATTRIBUTES = frozenset({"alt", "colspan", "dir", "height", "href", "lang", "rowspan", "src", "title", "width"})
LINKS = frozenset({"", "http", "https", "mailto", "tel"})
PICTURE = re.compile(r"data:image/(png|jpeg|gif|webp);base64,[A-Za-z0-9+/=\s]*\Z")
CONTROLS = re.compile(r"[\x00-\x20\x7f-\x9f]")


def safe_html(text: str) -> str:
    """The body of an HTML page or fragment, with only plain elements and attributes left."""
    parser = html.HTMLParser(no_network=True, remove_comments=True, remove_pis=True, huge_tree=False)
    try:
        root = html.fragment_fromstring(text.replace("\0", ""), create_parent="div", parser=parser)
    except etree.ParserError:
        return ""
    for element in list(root.iter()):
        if element is root:
            continue
        if not isinstance(element.tag, str) or element.tag in REMOVED_WHOLE:
            element.drop_tree()
        elif element.tag not in TAGS:
            element.drop_tag()
        else:
            for name, value in list(element.attrib.items()):
                if not is_harmless(element.tag, name, value):
                    del element.attrib[name]
    return str(html.tostring(root, encoding="unicode"))


def is_harmless(tag: str, name: str, value: str) -> bool:
    if name not in ATTRIBUTES:
        return False
    if name == "src":
        return tag == "img" and PICTURE.match(value) is not None
    if name != "href":
        return True
    try:
        return tag == "a" and urlsplit(CONTROLS.sub("", value)).scheme.lower() in LINKS
    except ValueError:
        return False
