"""XLSForms: what is wrong is told by its cell, and what is hostile is refused at once (FORM-63)."""

from __future__ import annotations

import io
import os
import re
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from core.errors import DomainError, InvalidInput, TooLarge
from core.xforms.archive import LARGEST_UNPACKED_BYTES, MOST_MEMBERS
from core.xforms.converter import Converter
from core.xforms.xlsform import xform_of

SURVEY = ["type", "name", "label", "relevant", "calculation"]
FIRST = ["text", "a", "A"]
SETTINGS = [["form_id", "form_title"], ["rows", "Rows"]]


def book(*rows: list[Any], **sheets: list[list[Any]]) -> bytes:
    """A workbook whose survey has a question `a` in row 2 and these rows after it."""
    workbook = openpyxl.Workbook()
    workbook.remove(workbook.active)
    found = {"survey": [SURVEY, FIRST, *rows], "settings": SETTINGS, **sheets}
    for name, table in found.items():
        sheet = workbook.create_sheet(name)
        for row in table:
            sheet.append(row)
    out = io.BytesIO()
    workbook.save(out)
    return out.getvalue()


def problems_of(data: bytes) -> list[dict[str, Any]]:
    with pytest.raises(InvalidInput) as refused:
        xform_of(data)
    problems: list[dict[str, Any]] = refused.value.details["problems"]
    return problems


WRONG_ROWS = [
    (["txt", "b", "B"], "A3", "Unknown question type 'txt'."),
    (["", "b", "B"], "A3", "Question with no type."),
    (["text", "", "B"], "B3", "Question or group with no name."),
    (["text", "a", "B"], "B3", "The 'name' value 'a' is invalid."),
    (["text", "b c", "B"], "B3", "The 'name' value is invalid."),
    (["integer", "b", ""], "C3", "The survey element named 'b' has no label or hint."),
    (["note", "n", "It is ${zz}"], "C3", "Could not find the name 'zz'."),
    (["text", "b", "B", "${a = 1"], "D3", "Reference variables must start with"),
    (["text", "b", "B", "${a} = (1"], "D3", "The expression '${a} = (1' is not valid XPath"),
    (["calculate", "b", "", "", "${a} +"], "E3", "is not valid XPath"),
    (["calculate", "b"], "E3", "Missing calculation."),
    (["select_one nn", "b", "B"], "A3", "List name not in choices sheet: nn"),
    (["begin group", "b", "B"], "A3", "Unmatched 'begin_group'."),
    (["end repeat", "b", "B"], "A3", "Unmatched 'end_repeat'."),
]
YN = [["list_name", "name", "label"], ["yn", "yes", "Yes"]]


@pytest.mark.parametrize(("row", "cell", "message"), WRONG_ROWS, ids=lambda value: str(value)[:30])
def test_the_cell_at_fault_is_named(row: list[Any], cell: str, message: str) -> None:
    [problem] = problems_of(book(row, choices=YN))

    assert (problem["sheet"], problem["row"], problem["cell"]) == ("survey", 3, cell)
    assert problem["message"].startswith(message) or message in problem["message"]


def test_other_sheets_are_named_too() -> None:
    choices = [*YN, ["yn", "", "No"]]
    [choice] = problems_of(book(["select_one yn", "b", "B"], choices=choices))
    [setting] = problems_of(book(settings=[["form_id", "name"], ["f", "9a"]]))
    [twice] = problems_of(book(settings=[["form_id", "form_id"], ["f", "g"]]))

    assert (choice["sheet"], choice["cell"]) == ("choices", "B3")
    assert (setting["sheet"], setting["cell"]) == ("settings", "B2")
    assert (twice["sheet"], twice["cell"]) == ("settings", "B1")


def test_rows_count_as_the_spreadsheet_does() -> None:
    [problem] = problems_of(book([], [], ["txt", "b", "B"]))

    assert problem["cell"] == "A5"


def test_all_wrong_expressions_are_told_at_once() -> None:
    found = problems_of(book(["text", "b", "B", "${a} = ("], ["calculate", "c", "", "", "1 +"], ["txt", "d", "D"]))

    assert [problem["cell"] for problem in found] == ["D3", "E4", "A5"]


GOOD_EXPRESSIONS = [
    "yes",
    "selected(${a}, 'x') and not(${a} = '')",
    "cht:difference-in-days(${a}, today()) > 3",
    "instance('contact-summary')/context/muted = 'true'",
    "${last-saved#a} != 'it’s'",
    "../a = 'x' or position(..) mod 2 = 1",
]


def test_expressions_of_this_field_are_taken() -> None:
    rows = [["text", f"b{n}", "B", expression] for n, expression in enumerate(GOOD_EXPRESSIONS)]

    assert "<bind" in xform_of(book(*rows)).xform


def test_cells_of_every_type_become_text() -> None:
    xform = xform_of(book(["text", "b", True], ["text", "c", 5.0], settings=[["form_id", "version"], ["f", 3]])).xform

    assert 'version="3"' in xform
    assert "<label>TRUE</label>" in xform
    assert "<label>5</label>" in xform


def test_a_book_with_one_sheet_needs_no_name_for_it() -> None:
    workbook = openpyxl.Workbook()
    for row in (SURVEY, FIRST):
        workbook.active.append(row)
    out = io.BytesIO()
    workbook.save(out)

    assert '<data id="visit">' in xform_of(out.getvalue(), "visit").xform


def test_the_sheet_of_settings_is_not_taken_for_the_survey() -> None:
    workbook = openpyxl.load_workbook(io.BytesIO(book()))
    workbook["survey"].title = "Sheet1"
    out = io.BytesIO()
    workbook.save(out)

    assert "must have a sheet named survey" in problems_of(out.getvalue())[0]["message"]


def test_external_choices_come_as_a_file() -> None:
    made = xform_of(
        book(
            ["select_one_external towns", "town", "Town"],
            external_choices=[["list_name", "name", "label"], ["towns", "moshi", "Moshi"]],
            survey=[[*SURVEY, "choice_filter"], FIRST, ["select_one_external towns", "t", "T", "", "", "name = ${a}"]],
        )
    )

    assert made.itemsets is not None
    assert '"moshi"' in made.itemsets


# --- hostile workbooks ------------------------------------------------------------------------------------------------


def changed(data: bytes, **members: bytes) -> bytes:
    """The archive with other contents; `__` in a name stands for a slash, `_x` for `.xml`."""
    out = io.BytesIO()
    wanted = {name.replace("__", "/").replace("_x", ".xml"): content for name, content in members.items()}
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
        for name in {*old.namelist(), *wanted}:
            new.writestr(name, wanted.get(name) or old.read(name))
    return out.getvalue()


GOOD = book()
LAUGH = b"<row><c><v>&b9;</v></c></row>"
UTF_7 = b'<?xml version="1.0" encoding="utf-7"?>'
SHEET = b'<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>%s</sheetData></worksheet>'
LAUGHS = b'<!DOCTYPE a [<!ENTITY b0 "ha">' + b"".join(
    b'<!ENTITY b%d "%s">' % (n, b"&b%d;" % (n - 1) * 10) for n in range(1, 10)
)


def quine() -> bytes:
    """A member that says it is small and is not."""
    bomb = changed(GOOD, xl__worksheets__sheet1_x=bytes(20 * 2**20))
    return bomb.replace((20 * 2**20).to_bytes(4, "little"), (100).to_bytes(4, "little"))


def many() -> bytes:
    return changed(GOOD, **{f"m{n}": b"x" for n in range(MOST_MEMBERS + 1)})


def bomb() -> bytes:
    return changed(GOOD, xl__media__a=bytes(LARGEST_UNPACKED_BYTES + 1))


HOSTILE: dict[str, Callable[[], bytes]] = {
    "zip bomb": bomb,
    "zip that lies": quine,
    "too many members": many,
    "directory that lies": lambda: GOOD[:-12] + b"\xff\xff\xff\x7f" + GOOD[-8:],
    "cut": lambda: GOOD[: len(GOOD) // 2],
    "encrypted": lambda: GOOD.replace(b"PK\x01\x02\x14\x03\x14\x00\x00\x00", b"PK\x01\x02\x14\x03\x14\x00\x01\x00"),
    "no workbook": lambda: changed(GOOD, xl__workbook_x=b"<a/>"),
    "old workbook": lambda: b"\xd0\xcf\x11\xe0" + bytes(1000),
    "billion laughs": lambda: changed(
        GOOD, xl__worksheets__sheet1_x=LAUGHS + b"]>" + SHEET % b"<row><c><v>&b9;</v></c></row>"
    ),
    "laughing book": lambda: changed(GOOD, xl__workbook_x=LAUGHS + b"]><workbook>&b9;</workbook>"),
    "external entity": lambda: changed(
        GOOD, xl__worksheets__sheet1_x=b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]>' + SHEET % b"&x;"
    ),
    "deep": lambda: changed(GOOD, xl__worksheets__sheet1_x=SHEET % (b"<g>" * 10_000 + b"</g>" * 10_000)),
    "wrong encoding": lambda: changed(GOOD, xl__worksheets__sheet1_x=UTF_7 + SHEET % b""),
    "one long text in every cell": lambda: book(*(["note", f"n{n}", "x" * 32_000] for n in range(400))),
    "millions of rows": lambda: changed(GOOD, xl__worksheets__sheet1_x=SHEET % (b"<row/>" * 5_000_000)),
    "millions of styles": lambda: changed(GOOD, xl__styles_x=b"<styleSheet>" + b"<a/>" * 5_000_000 + b"</styleSheet>"),
    "millions of attributes": lambda: changed(
        GOOD, xl__worksheets__sheet1_x=SHEET % (b"<row %s/>" % b" ".join(b'a%d=""' % n for n in range(200_000)))
    ),
    "far row": lambda: changed(
        GOOD, xl__worksheets__sheet1_x=SHEET % b'<row r="999999999"><c r="XFD999999999" t="str"><v>x</v></c></row>'
    ),
}


@pytest.mark.parametrize("make", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_workbook_is_refused_for_less_than_a_second_of_work(make: Callable[[], bytes]) -> None:
    data = make()
    started = time.process_time()
    with pytest.raises((InvalidInput, TooLarge)):
        xform_of(data)

    assert time.process_time() - started < 1


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="memory is read from Linux's /proc")
async def test_the_process_that_converts_outlives_hostile_workbooks_in_little_memory() -> None:
    others = child_processes()
    converter = Converter()
    peaks = []
    for name in ("zip bomb", "millions of rows", "billion laughs", "deep"):
        with pytest.raises(DomainError):
            await converter.convert_xlsform(HOSTILE[name]())
        peaks += [peak_kilobytes(pid) for pid in child_processes() - others]
    made = await converter.convert_xlsform(GOOD)
    await converter.close()

    assert made.form.startswith(b"<form")
    assert peaks
    assert max(peaks) < 300 * 1024


def child_processes() -> set[str]:
    return set(Path(f"/proc/self/task/{os.getpid()}/children").read_text().split())


def peak_kilobytes(pid: str) -> int:
    """The most memory that was ever resident."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) if found else 0
