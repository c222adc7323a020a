"""Labels and hints of forms: their markdown as HTML, with only harmless HTML of what authors embed (FORM-26, 27)."""

from __future__ import annotations

import re
from collections.abc import Callable

import nh3

# Stands for something that no rule of markdown may touch; `\uE000` and `\uE001` are removed from what authors write.
TOKEN = re.compile("\ue000(\\d+)\ue001")
TOKEN_MARKS = re.compile("[\ue000\ue001]")

TAG = re.compile(r"</?[A-Za-z][^<>]*>|<!--.*?-->", re.DOTALL)
ESCAPED = re.compile(r"\\([\\*_#])")
LINK = re.compile(r"\[([^\]]*)\]\(([^)]+)\)")
STRONG = (re.compile(r"__(.+?)__"), re.compile(r"\*\*(.+?)\*\*"))
EMPHASIS = (re.compile(r"_([^\s_][^_\n]*)_"), re.compile(r"\*([^\s*][^*\n]*)\*"))
HEADER = re.compile(r"^[^\S\n]*(#{1,6})\s?([^#\n][^\n]*)(?:\n|$)", re.MULTILINE)
BULLETS = re.compile(r"(?:^[*+-] .*(?:\n|$))+", re.MULTILINE)
NUMBERS = re.compile(r"(?:\n[0-9]+\. .*)+$", re.MULTILINE)
ITEM = re.compile(r"^(?:[*+-]|[0-9]+\.) (.*)$", re.MULTILINE)
PARAGRAPH = re.compile(r"([^\n]+)\n{2,}")
BLOCK = re.compile(r"</?(ul|ol|li|h[1-6]|p|bl)", re.IGNORECASE)

TAGS = {
    "a", "abbr", "b", "blockquote", "br", "caption", "center", "code", "col", "colgroup", "dd", "del", "div", "dl",
    "dt", "em", "font", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "i", "img", "ins", "li", "mark", "ol", "p", "pre",
    "q", "s", "small", "span", "strike", "strong", "sub", "sup", "table", "tbody", "td", "tfoot", "th", "thead", "tr",
    "u", "ul",
}  # fmt: skip
ATTRIBUTES = {
    "*": {"class", "dir", "lang", "style", "title"},
    "a": {"href", "rel", "target"},
    "col": {"span", "width"},
    "font": {"color", "face", "size"},
    "img": {"alt", "height", "src", "width"},
    "ol": {"start", "type"},
    "table": {"border", "cellpadding", "cellspacing", "width"},
    "td": {"align", "colspan", "rowspan", "valign", "width"},
    "th": {"align", "colspan", "rowspan", "valign", "width"},
}
SCHEMES = {"http", "https", "mailto", "tel", "sms", "jr", "data"}
PICTURE = re.compile(r"data:image/(png|jpeg|gif|webp);base64,[A-Za-z0-9+/=\s]*\Z")
STYLES = {
    "background", "background-color", "border", "border-bottom", "border-collapse", "border-color", "border-left",
    "border-radius", "border-right", "border-style", "border-top", "border-width", "color", "display", "float", "font",
    "font-family", "font-size", "font-style", "font-weight", "height", "letter-spacing", "line-height", "list-style",
    "list-style-type", "margin", "margin-bottom", "margin-left", "margin-right", "margin-top", "max-height",
    "max-width", "min-height", "min-width", "overflow", "padding", "padding-bottom", "padding-left", "padding-right",
    "padding-top", "text-align", "text-decoration", "text-indent", "text-transform", "vertical-align", "white-space",
    "width",
}  # fmt: skip


class Shelf:
    """Keeps pieces out of the way of the rules that follow and puts them back in the end."""

    def __init__(self, first: int) -> None:
        self.first = first
        self.pieces: list[str] = []

    def token(self, piece: str) -> str:
        self.pieces.append(piece)
        return f"\ue000{self.first + len(self.pieces) - 1}\ue001"

    def restored(self, text: str) -> str:
        def piece(found: re.Match[str]) -> str:
            place = int(found[1]) - self.first
            return self.restored(self.pieces[place]) if 0 <= place < len(self.pieces) else found[0]

        return TOKEN.sub(piece, text)


def html_of(text: str, outputs: int = 0) -> str:
    """Harmless HTML of a label, whose tokens 0 to `outputs` stand for placeholders that stay where they are."""
    shelf = Shelf(outputs)
    text = ESCAPED.sub(lambda found: shelf.token(found[1]), text)
    text = TAG.sub(lambda found: shelf.token(found[0]), text)
    text = LINK.sub(lambda found: link(shelf, found[1], shelf.restored(found[2]).strip()), text)
    for rule in STRONG:
        text = rule.sub(r"<strong>\1</strong>", text)
    for rule in EMPHASIS:
        text = rule.sub(r"<em>\1</em>", text)
    text = HEADER.sub(header, text)
    text = BULLETS.sub(listed("ul"), text)
    text = NUMBERS.sub(listed("ol"), text)
    text = PARAGRAPH.sub(paragraph, text).replace("\n<ul>", "<ul>").replace("\n", "<br>")
    return harmless(shelf.restored(text))


def harmless(html: str) -> str:
    return nh3.clean(
        html,
        tags=TAGS,
        attributes=ATTRIBUTES,
        attribute_filter=checked_attribute,
        url_schemes=SCHEMES,
        link_rel=None,
        filter_style_properties=STYLES,
        strip_comments=True,
    )


def checked_attribute(tag: str, name: str, value: str) -> str | None:
    if value.strip().lower().startswith("data:") and not (tag == "img" and name == "src" and PICTURE.match(value)):
        return None
    if name == "style" and "url(" in value.replace("\\", "").lower():
        return None
    return value


def link(shelf: Shelf, text: str, address: str) -> str:
    """An anchor; where its address holds a value of the form, the client fills the template in (FORM-26)."""
    if TOKEN.search(address):
        opening = '<a href="#" rel="noopener" target="_blank" class="dynamic-url">'
        closing = f'<span class="url hidden">{quoted(address)}</span></a>'
        return f"{shelf.token(opening)}{text}{shelf.token(closing)}"
    opening = f'<a href="{quoted(address)}" rel="noopener" target="_blank">'
    return f"{shelf.token(opening)}{text}{shelf.token('</a>')}"


def quoted(text: str) -> str:
    return text.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;").replace(">", "&gt;")


def header(found: re.Match[str]) -> str:
    level = len(found[1])
    return f"<h{level}>{found[2].rstrip('#').strip()}</h{level}>"


def listed(kind: str) -> Callable[[re.Match[str]], str]:
    def make(found: re.Match[str]) -> str:
        lines = found[0].strip("\n")
        first = lines.partition(".")[0]
        start = f' start="{first}"' if kind == "ol" and first != "1" else ""
        items = "".join(f"<li>{item.strip()}</li>" for item in ITEM.findall(lines))
        return f"<{kind}{start}>{items}</{kind}>"

    return make


def paragraph(found: re.Match[str]) -> str:
    line = found[1].strip()
    return found[1] if BLOCK.match(line) else f"<p>{line}</p>"
