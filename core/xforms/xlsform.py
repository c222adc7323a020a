"""An XLSForm as an XForm, by pyxform; what is wrong with it is told by sheet, row and cell (FORM-63)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from lxml import etree
from pyxform.constants import SUPPORTED_SHEET_NAMES
from pyxform.errors import PyXFormError
from pyxform.xls2xform import convert

from core.xforms.archive import WHAT
from core.xforms.workbook import Problem, Sheet, read_workbook, refused

SHEETS = frozenset(SUPPORTED_SHEET_NAMES)
MOST_PROBLEMS = 50

# Columns that hold XPath; pyxform takes them as they are, and a phone would stumble over them.
EXPRESSIONS = frozenset({"relevant", "constraint", "calculation", "required", "readonly", "repeat_count"})
SYNONYMS = {"relevance": "relevant", "calculate": "calculation", "read_only": "readonly"}
ANSWERS = frozenset({"yes", "no", "true", "false"})  # that such a cell may hold in place of an expression
REFERENCE = re.compile(r"\$\{\s*(?:last-saved#)?([^{}\s]+)\s*\}")

ROW = re.compile(r"\[row ?: ?(\d+)\]\s*")
PLACE = re.compile(r"On the '([^']+)' sheet, the '([^']+)' value")
QUOTED = re.compile(r"'([^']+)'")
# What a message without a column is about.
ABOUT = (
    (re.compile(r"with no type|[Qq]uestion type|Unmatched|[Ll]ist name not in"), "type"),
    (re.compile(r"with no name"), "name"),
    (re.compile(r"[Mm]issing calculation"), "calculation"),
    (re.compile(r"label"), "label"),
)
NOISE = re.compile(r"\[row ?: ?\d+\]\s*|On the '[^']+' sheet, |\{'.*'\}\s*$|\s*Learn more: \S+", re.DOTALL)
BLANKS = re.compile(r"\s+")


@dataclass(frozen=True)
class Made:
    """`itemsets` is the CSV file of external choices that the XForm asks for, where it does."""

    xform: str
    warnings: list[Problem]
    itemsets: str | None = None


def xform_of(data: bytes, name: str | None = None) -> Made:
    """Convert an .xlsx. `name` is the form's id where the settings sheet has none.

    InvalidInput whose `details` hold `problems`: every expression that is no XPath and the first thing that pyxform
    refuses; TooLarge.
    """
    sheets = read_workbook(data, SHEETS)
    if "survey" not in {sheet.name for sheet in sheets}:
        if len(sheets) != 1 or sheets[0].name in SHEETS:
            raise refused([Problem(f"{WHAT} must have a sheet named survey", "survey")])
        sheets = [Sheet("survey", sheets[0].letters, sheets[0].rows)]
    warnings: list[str] = []
    problems = list(wrong_expressions(sheets))
    try:
        made = convert(tables_of(sheets, name), warnings=warnings)
    except PyXFormError as error:
        problems.append(located(str(error), sheets, error.context))
    except RecursionError:
        problems.append(Problem("Its groups are nested too deep, or its expressions refer to each other"))
    except (KeyError, ValueError, TypeError, AttributeError, IndexError) as error:
        problems.append(located(f"pyxform cannot convert it: {error}", sheets))
    if problems:
        raise refused(problems[:MOST_PROBLEMS])
    told = [located(warning, sheets) for warning in dict.fromkeys(warnings)]
    return Made(made.xform, told[:MOST_PROBLEMS], made.itemsets)


def tables_of(sheets: Sequence[Sheet], name: str | None) -> dict[str, Any]:
    """The sheets as pyxform takes what was read already."""
    tables: dict[str, Any] = {"sheet_names": [sheet.name for sheet in sheets], "fallback_form_name": name}
    for sheet in sheets:
        tables[sheet.name] = [dict(row) for row in sheet.rows]
        tables[f"{sheet.name}_header"] = [dict.fromkeys(sheet.letters)] if sheet.letters else []
    return tables


# --- expressions ------------------------------------------------------------------------------------------------------


def wrong_expressions(sheets: Sequence[Sheet]) -> Iterator[Problem]:
    """Every cell of the survey whose expression has a wrong syntax."""
    for sheet in sheets:
        if sheet.name != "survey":
            continue
        for row, column, text in sheet.cells():
            if canonical(column) not in EXPRESSIONS or text.lower() in ANSWERS:
                continue
            fault = syntax_error(text)
            if fault:
                yield sheet.problem(f"The expression {text[:200]!r} is not valid XPath: {fault}", row, column)


def syntax_error(expression: str) -> str | None:
    path = REFERENCE.sub(r"./\1", expression)
    if "${" in path:
        return None  # pyxform says better what is wrong with a reference
    try:
        etree.XPath(path)
    except etree.XPathSyntaxError as error:
        return str(error).removesuffix(" in expression").lower()
    except ValueError:
        return "it holds characters that XML cannot"
    return None


def canonical(column: str) -> str:
    """A header of the survey without its namespace and in the spelling that the documentation has."""
    name = column.lower().removeprefix("bind::").strip()
    return SYNONYMS.get(name, name)


# --- where a message belongs ------------------------------------------------------------------------------------------


def located(message: str, sheets: Sequence[Sheet], context: Any = None) -> Problem:
    """pyxform's message without the place in its words, and that place."""
    known = context if isinstance(context, dict) else {}
    row_said, place = ROW.search(message), PLACE.search(message)
    row = known.get("row") or (int(row_said[1]) if row_said else None)
    sheet_name = known.get("sheet") or (place[1] if place else "survey")
    column = known.get("column") or (place[2] if place else None)
    text = BLANKS.sub(" ", NOISE.sub("", message)).strip()
    text = text[:1].upper() + text[1:]
    sheet = next((each for each in sheets if each.name == sheet_name), None)
    if sheet is None:
        return Problem(text)
    if isinstance(row, int):
        row = max(row, 2) if sheet_name == "settings" else row
        return sheet.problem(text, row, header_of(sheet, column or column_about(text)))
    return named_in(text, sheets) or Problem(text)


def header_of(sheet: Sheet, column: str | None) -> str | None:
    """The header as it stands in the sheet, by whatever spelling or language a message has."""
    if column is None:
        return None
    wanted = canonical(column)
    exact = [header for header in sheet.letters if header == column]
    alike = [header for header in sheet.letters if canonical(header) == wanted]
    translated = [header for header in sheet.letters if canonical(header).split("::")[0].strip() == wanted]
    return next(iter([*exact, *alike, *translated]), None)


def column_about(text: str) -> str | None:
    return next((column for pattern, column in ABOUT if pattern.search(text)), None)


def named_in(text: str, sheets: Sequence[Sheet]) -> Problem | None:
    """The first cell that holds what the message quotes: `Unknown question type 'txt'`."""
    quoted = set(QUOTED.findall(text))
    for sheet in sheets:
        for row, column, value in sheet.cells():
            if value in quoted:
                return sheet.problem(text, row, header_of(sheet, column_about(text)) or column)
    return None
