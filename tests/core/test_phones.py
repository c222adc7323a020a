"""Phone numbers by country and strictness (35 §14)."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from core.phones import PhoneRules, has_country_code
from core.settings import Settings


def rules(validation: str | None = None, code: Any = 254) -> PhoneRules:
    return PhoneRules.from_settings(Settings({"default_country_code": code, "phone_validation": validation}))


@pytest.mark.parametrize(
    ("raw", "full", "partial", "none"),
    [
        ("0711 000 111", "+254711000111", "+254711000111", "+254711000111"),
        ("+254 (711) 000-111", "+254711000111", "+254711000111", "+254711000111"),
        ("0711.000.111", "+254711000111", "+254711000111", "+254711000111"),
        ("000254711000111", "+254711000111", "+254711000111", "+254711000111"),
        ("711000111x", None, None, None),
        ("12", None, None, "+25412"),
        ("0999999999", None, "+254999999999", "+254999999999"),
        ("112", "112", "112", "112"),
        ("", None, None, None),
        ("...", None, None, None),
    ],
)
def test_the_table_of_numbers(raw: str, full: str | None, partial: str | None, none: str | None) -> None:
    # 35 §16, 6; MOD-110..112
    assert [rules(each).normalize(raw) for each in ("full", "partial", "none")] == [full, partial, none]


@pytest.mark.parametrize("code", [254, "254", "+254", " 254 "])
def test_the_country_code_may_be_written_in_several_ways(code: Any) -> None:
    assert rules(code=code).normalize("0711000111") == "+254711000111"  # MOD-110


def test_a_code_shared_by_several_countries_means_the_main_one() -> None:
    assert rules(code=1).region == "US"  # MOD-110


@pytest.mark.parametrize("code", [None, "", "abc", 999, {}])
def test_without_a_country_only_international_numbers_are_read(code: Any) -> None:
    assert rules(code=code).normalize("0711000111") is None
    assert rules(code=code).normalize("+254711000111") == "+254711000111"


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("+254711000111", "0711000111", True),
        ("+254711000111", "+254 711 000 111", True),
        ("+254711000111", "+255711000111", False),
        ("GATEWAY", "GATEWAY", True),
        ("GATEWAY", "0711000111", False),
        ("", "", False),
    ],
)
def test_same_number(one: str, other: str, same: bool) -> None:
    assert rules().same_number(one, other) is same  # MOD-114


def test_national_form_loses_only_the_own_country_code() -> None:
    assert rules().national("+254711000111") == "711000111"  # TPL-4
    assert rules().national("+255711000111") == "+255711000111"


@pytest.mark.parametrize(("raw", "has"), [("+254711000111", True), ("0711000111", False), ("+12", False)])
def test_has_country_code(raw: str, has: bool) -> None:
    assert has_country_code(raw) is has  # RCP-3, row 12


def test_which_numbers_are_valid_does_not_change_by_itself() -> None:
    # MOD-115
    requirements = (Path(__file__).parents[2] / "setup.cfg").read_text().split()

    assert f"phonenumbers=={metadata.version('phonenumbers')}" in requirements
