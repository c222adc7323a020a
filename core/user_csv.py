"""New users in a CSV file, one a row (30 EP-USR-72)."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from io import StringIO
from typing import Any

from core.couch.client import Doc
from core.errors import InvalidInput

EXCLUDED = ":excluded"
STATUS = "import.status:excluded"  # what an earlier import said of the row
DONE = frozenset({"imported", "skipped"})
CONSTANTS = {"TRUE": True, "FALSE": False}


@dataclass(frozen=True)
class UserRow:
    """What one row asks for: the body of a new user, unless the row is to be skipped or is wrong in itself."""

    body: Any
    skip: str | None = None
    problem: InvalidInput | None = None


def read_user_rows(content: bytes) -> list[UserRow]:
    """The rows of a CSV file whose first line names the members; InvalidInput for what is not CSV.

    Dots in a name nest, columns with `:excluded` are left out, `TRUE` and `FALSE` are booleans, empty cells and lines
    count for nothing. Several `roles` are separated by colons.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidInput("The CSV must be encoded as UTF-8.") from error
    reader = csv.reader(StringIO(text, newline=""), skipinitialspace=True, strict=True)
    columns: list[str] | None = None
    rows: list[UserRow] = []
    try:
        for cells in reader:
            values = [cell.strip() for cell in cells]
            if not any(values):
                continue
            if columns is None:
                columns = checked_columns(values)
            else:
                rows.append(read_row(columns, values, reader.line_num))
    except csv.Error as error:
        raise InvalidInput(f"CSV line {reader.line_num}: {error}") from error
    if columns is None:
        raise InvalidInput("CSV is empty.")
    return rows


def checked_columns(names: list[str]) -> list[str]:
    twice = sorted({name for name in names if name and names.count(name) > 1})
    if twice:
        raise InvalidInput(f"CSV line 1: the column {twice[0]} is there more than once")
    return names


def read_row(columns: list[str], values: list[str], line: int) -> UserRow:
    cells = {name: value for name, value in zip(columns, values, strict=False) if name and value}
    if cells.get(STATUS, "").lower() in DONE:
        return UserRow(nested(cells)[0], skip=f"The status of the row is {cells[STATUS]}")
    body, wrong = nested(cells)
    if any(values[len(columns) :]):
        wrong = f"{len(values)} cells where {len(columns)} columns are named"
    if isinstance(body.get("roles"), str):
        body["roles"] = [role.strip() for role in body["roles"].split(":") if role.strip()]
    return UserRow(body, problem=InvalidInput(f"CSV line {line}: {wrong}") if wrong else None)


def nested(cells: dict[str, str]) -> tuple[Doc, str | None]:
    """The members that the cells set, and what is wrong with their names."""
    body: Doc = {}
    for name, value in cells.items():
        if EXCLUDED in name:
            continue
        *parents, last = name.split(".")
        inner = body
        for parent in parents:
            inner = inner.setdefault(parent, {})
            if not isinstance(inner, dict):
                return body, f"{name} cannot be set because {parent} has a value of its own"
        if isinstance(inner.get(last), dict):
            return body, f"{name} has a value of its own beside its members"
        inner[last] = CONSTANTS.get(value, value)
    return body, None
