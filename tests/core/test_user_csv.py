"""New users in CSV files: what a row means, and what is said of rows that mean nothing (30 EP-USR-72)."""

from __future__ import annotations

from typing import Any

import pytest

from core.errors import InvalidInput
from core.user_csv import read_user_rows


def bodies(text: str) -> list[Any]:
    return [row.body for row in read_user_rows(text.encode())]


def test_dots_nest_and_excluded_columns_are_left_out() -> None:
    text = (
        "username,place.name,place.parent,contact.name,contact.sex:excluded,notes:excluded\n"
        "mary,Area,d-busia,Mary,f,call\n"
    )

    assert bodies(text) == [
        {"username": "mary", "place": {"name": "Area", "parent": "d-busia"}, "contact": {"name": "Mary"}}
    ]


def test_cells_are_unquoted_and_trimmed() -> None:
    text = '\ufeffusername, fullname ,email\r\n mary , "Mary ""M"" A., jr.","a@b.c"\r\njuma,"two\nlines",\r\n'

    assert bodies(text) == [
        {"username": "mary", "fullname": 'Mary "M" A., jr.', "email": "a@b.c"},
        {"username": "juma", "fullname": "two\nlines"},
    ]


def test_booleans_roles_and_empty_cells() -> None:
    text = "username,known,token_login,roles,phone\nmary,TRUE,FALSE,chw: nurse,+254711000111\n\n,,,,\njuma,true,,chw,\n"

    assert bodies(text) == [
        {
            "username": "mary",
            "known": True,
            "token_login": False,
            "roles": ["chw", "nurse"],
            "phone": "+254711000111",
        },
        {"username": "juma", "known": "true", "roles": ["chw"]},
    ]


@pytest.mark.parametrize(
    ("status", "is_skipped"), [("imported", True), ("skipped", True), ("error", False), ("", False)]
)
def test_rows_that_an_earlier_import_finished_are_skipped(status: str, is_skipped: bool) -> None:
    [row] = read_user_rows(f"username,import.status:excluded\nmary,{status}\n".encode())

    assert (row.skip is not None) is is_skipped
    assert row.body == {"username": "mary"}


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ("mary,x,y,z", "CSV line 2: 4 cells where 3 columns are named"),
        ("mary,hc-kanga,Area", "CSV line 2: place.name cannot be set because place has a value of its own"),
    ],
)
def test_a_wrong_row_does_not_spoil_the_others(row: str, problem: str) -> None:
    wrong, right = read_user_rows(f"username,place,place.name\n{row}\njuma,hc-kanga,\n".encode())

    assert wrong.problem is not None
    assert wrong.problem.message == problem
    assert (right.problem, right.body) == (None, {"username": "juma", "place": "hc-kanga"})


def test_members_before_the_value_of_their_parent_are_a_problem_too() -> None:
    [row] = read_user_rows(b"place.name,place\nArea,hc-kanga\n")

    assert row.problem is not None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "CSV is empty."),
        (b"\n ,\n", "CSV is empty."),
        (b"a,b,a\n", "CSV line 1: the column a is there more than once"),
        (b'username\n"mary"x\n', "CSV line 2: "),
        (b'username\n"mary\n', "CSV line 2: "),
        (b"username\n\xff\n", "must be encoded as UTF-8"),
    ],
)
def test_what_is_no_csv_is_refused(content: bytes, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        read_user_rows(content)


def test_a_header_alone_names_no_users() -> None:
    assert read_user_rows(b"username,password\n") == []
