"""CSV as exports have always had it: texts in quotes, numbers bare, nothing for what is missing (EP-EXP-10). Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC
from typing import Any

from core.dates import iso_of, moment_of, ms_of
from core.deep_json import dumps

MISSING_DATE = ""  # a quoted cell with nothing in it, where other missing values have no quotes (EP-EXP-9)

# What spreadsheets take for the beginning of a formula. A sign before nothing but digits and what stands between them
# is a phone or a number, which calls nothing.
SUSPECT = frozenset("=@\t\r+-")
FORMULA = re.compile(r"[=@\t\r]|[+-](?![\d\s().,/-]*\Z)")


@dataclass(frozen=True)
class Csv:
    """How cells are written. `doubled`: a quote is written twice (RFC 4180), else after a backslash.

    `defused`: a text that a spreadsheet would run has an apostrophe before it.
    """

    doubled: bool = False
    defused: bool = True

    def line(self, values: Iterable[Any]) -> str:
        return ",".join([self.cell(value) for value in values]) + "\n"

    def cell(self, value: Any) -> str:
        if isinstance(value, str):
            return self.quoted(value)
        if value is None:
            return ""
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, int):
            return str(value)
        if isinstance(value, float):
            return str(int(value)) if value.is_integer() and abs(value) < 1e21 else repr(value)
        return self.quoted(dumps(value).decode())

    def quoted(self, text: str) -> str:
        """A backslash is doubled where it is what marks a quote: the cell then reads as what it was."""
        if text[:1] in SUSPECT and self.defused and FORMULA.match(text):
            text = "'" + text
        if self.doubled:
            return '"' + text.replace('"', '""') + '"'
        return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def date_value(value: Any, *, readable: bool) -> Any:
    """Milliseconds, or ISO 8601 in UTC where that is asked for; a date nobody can read stays as it is (EP-EXP-9)."""
    if value is None or value == "":
        return MISSING_DATE
    if not readable and isinstance(value, int) and not isinstance(value, bool):
        return value
    moment = moment_of(value, UTC)
    if moment is None:
        return value
    return iso_of(moment) if readable else ms_of(moment)
