"""Which form a message is for, and what of it is left for the form's parser (45 §7)."""

from __future__ import annotations

import re
from collections.abc import Container
from dataclasses import dataclass

INVISIBLE = str.maketrans(dict.fromkeys((*range(0x200B, 0x200E), 0xFEFF)))
CODE = re.compile(r"[\s\u200b-\u200d\ufeff]*([^\s!\-,:#]+)")
SEPARATORS = " \t\r\n!-,:#"
MUVUKU = re.compile(r"\s*([A-Za-z]?\d)!([^!]+)!(.+)", re.DOTALL)


def strip_invisible(text: str) -> str:
    """Without the zero-width characters that keyboards and copied texts leave behind (JF-5)."""
    return text.translate(INVISIBLE)


@dataclass(frozen=True)
class FormText:
    """A message taken apart: the form's code (None without any text), the parser's sign and what it is to read.

    `parser` is the sign of a Muvuku message (`1`, `J1`...), None for Textforms.
    """

    code: str | None
    parser: str | None
    rest: str


def read_form_text(text: str, known: Container[str]) -> FormText:
    """Find the code; invisible characters count as part of it only when the code is known with them (JF-4, JF-5)."""
    start, end = code_span(text)
    if start == end:
        return FormText(None, None, text)
    written = text[start:end].strip()
    if written.upper() not in known and strip_invisible(written).upper() in known:
        written = strip_invisible(written)
    code = written.upper()
    muvuku = MUVUKU.fullmatch(strip_invisible(text[:start]) + written + text[end:])
    if muvuku:
        return FormText(code, muvuku[1].upper(), muvuku[3])
    return FormText(code, None, text[end:].lstrip(SEPARATORS))


def code_span(text: str) -> tuple[int, int]:
    """Where the code stands: between the first two `!`, else the leading run of other characters than separators."""
    first = text.find("!")
    second = text.find("!", first + 1) if first >= 0 else -1
    if second > first + 1:
        return first + 1, second
    found = CODE.match(text)
    return found.span(1) if found else (0, 0)
