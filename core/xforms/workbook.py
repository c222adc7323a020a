"""Read the tables of an .xlsx that anybody may have sent, with the cells' addresses, within limits of size and time.

The zip's directory is looked at before anything is unpacked (`core.xforms.archive`). Whoever calls this bounds the
memory (`core.xforms.worker`).
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import openpyxl
from openpyxl.utils import get_column_letter
from pyxform.xls2json_backends import xlsx_value_to_str

from core.errors import InvalidInput, TooLarge
from core.xforms.archive import WHAT, check_archive, unreadable

MOST_CELLS = 200_000
LONGEST_TEXTS = 10 * 2**20  # characters of all cells: one string may stand in many of them
LONGEST_GAP = 60  # empty rows, after which a sheet has ended: spreadsheets remember rows that once were used
WIDEST_GAP = 20  # the same for columns


@dataclass(frozen=True)
class Problem:
    """What is wrong, and where: `row` counts as the spreadsheet does, `column` is its header, `cell` like `C7`."""

    message: str
    sheet: str | None = None
    row: int | None = None
    column: str | None = None
    cell: str | None = None

    def as_json(self) -> dict[str, Any]:
        found = {"sheet": self.sheet, "row": self.row, "column": self.column, "cell": self.cell}
        return {"message": self.message, **{name: value for name, value in found.items() if value is not None}}

    def __str__(self) -> str:
        """`survey!C7: message`, as far as the place is known."""
        where = "!".join(each for each in (self.sheet, self.cell or (f"row {self.row}" if self.row else "")) if each)
        return f"{where}: {self.message}" if where else self.message


@dataclass(frozen=True)
class Sheet:
    """A table: `letters` of its headers in their order, and the texts below them; row 2 is `rows[0]`."""

    name: str
    letters: dict[str, str]
    rows: list[dict[str, str]] = field(repr=False)

    def problem(self, message: str, row: int | None = None, column: str | None = None) -> Problem:
        letter = self.letters.get(column or "")
        cell = f"{letter}{row}" if letter and row else None
        return Problem(message, self.name, row, column if letter else None, cell)

    def cells(self) -> Iterator[tuple[int, str, str]]:
        """Row, header and text of every cell that holds something."""
        for row, values in enumerate(self.rows, 2):
            for column, text in values.items():
                yield row, column, text


class Budget:
    """What may still be read of a workbook. TooLarge."""

    def __init__(self) -> None:
        self.cells, self.characters = MOST_CELLS, LONGEST_TEXTS

    def spend(self, cells: int, characters: int) -> None:
        self.cells -= cells
        self.characters -= characters
        if self.cells < 0 or self.characters < 0:
            raise TooLarge(f"{WHAT} must not have more than {MOST_CELLS} cells or {LONGEST_TEXTS} characters")


def read_workbook(data: bytes, wanted: frozenset[str]) -> list[Sheet]:
    """The sheets of these names (in small letters), or the only sheet. InvalidInput, TooLarge."""
    check_archive(data)
    try:
        book = openpyxl.load_workbook(io.BytesIO(data), read_only=True, data_only=True, keep_links=False)
    except MemoryError:
        raise
    except Exception as error:  # openpyxl raises whatever a broken part makes it stumble over
        raise unreadable(error) from error
    try:
        names = [name for name in book.sheetnames if name.lower() in wanted or len(book.sheetnames) == 1]
        budget = Budget()
        return [read_sheet(book[name], budget) for name in names]
    except (MemoryError, InvalidInput, TooLarge):
        raise
    except Exception as error:
        raise unreadable(error) from error
    finally:
        book.close()


def read_sheet(found: Any, budget: Budget) -> Sheet:
    """One sheet; a chart or another thing without rows is an empty one."""
    name = str(found.title).lower()
    if not hasattr(found, "reset_dimensions"):
        return Sheet(name, {}, [])
    found.reset_dimensions()  # what the file says of its size need not be so
    headers = read_headers(name, next(found.iter_rows(min_row=1, max_row=1, values_only=True), ()))
    rows: list[dict[str, str]] = []
    gap = 0
    for values in found.iter_rows(min_row=2, max_col=max(headers, default=0) + 1, values_only=True):
        texts = {header: text_of(values[at]) for at, header in headers.items() if at < len(values)}
        rows.append({header: text for header, text in texts.items() if text})
        gap = 0 if rows[-1] else gap + 1
        if gap > LONGEST_GAP:
            break
        budget.spend(max(len(headers), 1), sum(map(len, rows[-1].values())))
    while rows and not rows[-1]:
        rows.pop()
    return Sheet(name, {header: get_column_letter(at + 1) for at, header in headers.items()}, rows)


def read_headers(sheet: str, values: tuple[Any, ...]) -> dict[int, str]:
    """Position (from 0) -> header. InvalidInput names the cell of a header that is there twice."""
    found: dict[int, str] = {}
    for at, value in enumerate(values):
        header = " ".join(text_of(value).split())
        if not header:
            if at - max(found, default=-1) > WIDEST_GAP:
                break
            continue
        if header in found.values():
            cell = f"{get_column_letter(at + 1)}1"
            raise refused([Problem(f"The column {header} is there twice", sheet, 1, header, cell)])
        found[at] = header
    return found


def text_of(value: Any) -> str:
    """A cell's value as pyxform takes it; empty for nothing."""
    if value is None:
        return ""
    return str(xlsx_value_to_str(value.strip() if isinstance(value, str) else value)).strip()


def refused(problems: list[Problem]) -> InvalidInput:
    """The refusal of a workbook, with the places at fault as its details."""
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return InvalidInput(f"{problems[0]}{more}", problems=[problem.as_json() for problem in problems])
