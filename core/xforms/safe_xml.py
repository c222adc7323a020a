"""Parse XML that anybody may have sent: no declarations, no entities, no network, limited size and depth (FORM-20)."""

from __future__ import annotations

import codecs
import re

from lxml import etree

from core.errors import InvalidInput, TooLarge

LARGEST_BYTES = 10 * 2**20
MOST_MARKS = 500_000  # of `<` and `=`: elements and attributes cost far more memory than their text
DEEPEST = 100

ENCODINGS = frozenset({"utf-8", "utf-16", "ascii", "iso8859-1", "iso8859-15", "cp1252"})
MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
DECLARATION = re.compile(r"\s*<\?xml\s[^>]*\?>")
DECLARED_ENCODING = re.compile(rb"""\A\s*<\?xml\s[^>]*?encoding\s*=\s*["']([A-Za-z0-9._-]{1,40})["']""")
FORBIDDEN = re.compile(r"<!\s*(DOCTYPE|ENTITY)", re.IGNORECASE)
TOO_DEEP = etree.XPath("/*" * (DEEPEST + 1))


def parse_xml(data: bytes, what: str, charset: str | None = None) -> etree._Element:
    """The root element, without comments and processing instructions; `charset` is that of the message around it.

    InvalidInput, whose message begins with `what`, for anything that is not plain well-formed XML; TooLarge.
    """
    if len(data) > LARGEST_BYTES:
        raise TooLarge(f"{what} must not be larger than {LARGEST_BYTES} bytes")
    if data.count(b"<") + data.count(b"=") > MOST_MARKS:
        raise TooLarge(f"{what} has too many elements and attributes")
    text = decoded(data, what, charset)
    if FORBIDDEN.search(text):
        raise InvalidInput(f"{what} must not declare a DOCTYPE or external entities.")
    parser = etree.XMLParser(
        encoding="utf-8",
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        huge_tree=False,
        remove_comments=True,
        remove_pis=True,
    )
    try:
        root = etree.fromstring(DECLARATION.sub("", text, count=1).encode(), parser)
    except (etree.XMLSyntaxError, ValueError, UnicodeEncodeError) as error:
        raise InvalidInput(f"{what} is not well-formed XML: {error}") from error
    if TOO_DEEP(root):
        raise InvalidInput(f"{what} has elements nested more than {DEEPEST} deep")
    return root


def decoded(data: bytes, what: str, charset: str | None = None) -> str:
    """The text by its byte order mark, else by the encoding it declares, else as UTF-8 or by `charset`."""
    encoding = next((name for mark, name in MARKS if data.startswith(mark)), None)
    if encoding is None:
        declared = DECLARED_ENCODING.match(data)
        encoding = declared[1].decode("ascii") if declared else undeclared(data, charset)
    try:
        if codecs.lookup(encoding).name not in ENCODINGS:
            raise InvalidInput(f"{what} must be encoded as UTF-8, not {encoding}")
        return data.decode(encoding).removeprefix("\ufeff")
    except LookupError as error:
        raise InvalidInput(f"{what} is in an unknown encoding: {encoding}") from error
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{what} is not valid {encoding}: {error.reason} at byte {error.start}") from error


def undeclared(data: bytes, charset: str | None) -> str:
    """The encoding of XML that declares none: UTF-8 where it is that, whatever clients put around it by habit."""
    try:
        data.decode()
    except UnicodeDecodeError:
        return charset or "utf-8"
    return "utf-8"


def qualified_name(element: etree._Element) -> str:
    """The name as it was written: with its prefix, without its namespace."""
    local = etree.QName(element).localname
    return f"{element.prefix}:{local}" if element.prefix else local
