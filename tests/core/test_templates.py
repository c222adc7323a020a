"""Message templates, dates in them, and the length of an SMS (40 §6.2, §6.4)."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pytest

from core.bikram_sambat import BikramSambat
from core.date_formats import format_moment
from core.phones import PhoneRules
from core.templates import InvalidTemplate, TemplateRules, render
from core.truncation import truncate

pytestmark = pytest.mark.usefixtures("utc")

RULES = TemplateRules("DD-MMM-YYYY", "YYYY/MM/DD HH:mm", PhoneRules("KE"), "en")
MS = 1_700_000_000_000

VIEW: dict[str, Any] = {
    "name": "A & <B>",
    "zero": 0,
    "no": False,
    "whole": 12.0,
    "half": 1.5,
    "nothing": None,
    "list": ["a", "b"],
    "lmp": MS,
    "date": "a field called date",
    "new_reports": [{"contact": {"name": "Bea"}, "on": MS}, {"contact": {"name": "Carl"}, "on": "never"}],
    "phone": "+254711000111",
}


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("plain", "plain"),
        ("{{name}} {{{name}}} {{&name}}", "A & <B> A & <B> A & <B>"),
        ("[{{unknown}}{{nothing}}{{un.known}}]", "[]"),
        ("{{zero}} {{no}} {{whole}} {{half}} {{list}}", "0 false 12 1.5 a,b"),
        ("{{new_reports.0.contact.name}}", "Bea"),
        ("{{new_reports.7.contact.name}}", ""),
        ("{{#new_reports}}{{contact.name}};{{/new_reports}}", "Bea;Carl;"),
        ("{{#new_reports}}{{name}} {{/new_reports}}", "A & <B> A & <B> "),
        ("{{#list}}<{{.}}>{{/list}}", "<a><b>"),
        ("{{^unknown}}none{{/unknown}}{{^name}}none{{/name}}", "none"),
        ("a{{! remark }}b{{> partial}}c", "abc"),
    ],
)
def test_mustache_without_escaping(template: str, text: str) -> None:
    assert render(template, VIEW, RULES) == text  # TPL-1


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{{#date}}{{lmp}}{{/date}}", "14-Nov-2023"),
        ("{{#date}}2023-11-14{{/date}}", "14-Nov-2023"),
        ("{{#datetime}} {{lmp}} {{/datetime}}", "2023/11/14 22:13"),
        ("{{#new_reports}}{{#date}}{{on}}{{/date}} {{/new_reports}}", "14-Nov-2023 Invalid date "),
        ("{{#date}}{{unknown}}{{/date}}", "Invalid date"),
        ("{{date}}", "a field called date"),
        ("{{#bikram_sambat_date}}{{lmp}}{{/bikram_sambat_date}}", "२८ कार्तिक २०८०"),  # TPL-3
        ("{{#bikram_sambat_date}}soon{{/bikram_sambat_date}}", "Invalid date"),
        ("{{#bikram_sambat_date}}1800-01-01{{/bikram_sambat_date}}", "Invalid date"),
        ("{{#local_phone}}{{phone}}{{/local_phone}}", "711000111"),
    ],
)
def test_special_sections(template: str, text: str) -> None:
    assert render(template, VIEW, RULES) == text  # TPL-2..TPL-5


@pytest.mark.parametrize("template", ["{{#a}}x", "{{#a}}x{{/b}}", "x{{/a}}"])
def test_a_section_that_is_not_closed_is_refused(template: str) -> None:
    with pytest.raises(InvalidTemplate, match="invalid template"):
        render(template, VIEW, RULES)


@pytest.mark.parametrize(
    ("tokens", "text"),
    [
        ("YYYY-MM-DD", "2024-03-02"),
        ("D/M/YY", "2/3/24"),
        ("dddd, Do MMMM YYYY", "Saturday, 2nd March 2024"),
        ("ddd MMM D [at] h:mm a", "Sat Mar 2 at 3:05 pm"),
        ("HH:mm:ss.SSS ZZ Z", "15:05:09.120 +0000 +00:00"),
        ("[Week] W/GGGG, [day] DDDD", "Week 9/2024, day 062"),
        ("L LT", "03/02/2024 3:05 PM"),
        ("x", "1709391909120"),
    ],
)
def test_moment_formats(tokens: str, text: str) -> None:
    assert format_moment(datetime(2024, 3, 2, 15, 5, 9, 120_000, tzinfo=UTC), tokens) == text  # TPL-2


def test_month_names_are_in_the_locale() -> None:
    moment = datetime(2024, 8, 2, tzinfo=UTC)

    assert format_moment(moment, "D MMMM", "fr") == "2 août"  # TPL-2
    assert format_moment(moment, "D MMM", "sw") == "2 Ago"
    assert format_moment(moment, "D MMMM", "xx") == "2 August"


@pytest.mark.parametrize(
    ("nepali", "gregorian"),
    [
        ((2080, 1, 1), date(2023, 4, 14)),
        ((2080, 7, 28), date(2023, 11, 14)),
        ((2000, 1, 1), date(1943, 4, 14)),
        ((2062, 1, 30), date(2005, 5, 13)),
        ((2062, 2, 1), date(2005, 5, 14)),
        ((1975, 1, 1), date(1918, 4, 13)),
    ],
)
def test_nepali_dates_both_ways(nepali: tuple[int, int, int], gregorian: date) -> None:
    assert BikramSambat(*nepali).to_gregorian() == gregorian
    assert BikramSambat.from_gregorian(gregorian) == BikramSambat(*nepali)


@pytest.mark.parametrize("nepali", [(2078, 2, 32), (2080, 13, 1), (2080, 1, 0), (1900, 1, 1)])
def test_impossible_nepali_dates(nepali: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="Bikram Sambat"):
        BikramSambat(*nepali).to_gregorian()


@pytest.mark.parametrize(
    ("text", "parts", "cut"),
    [
        ("a" * 160, 1, "a" * 160),
        ("a" * 161, 1, "a" * 150 + "..."),  # V-6
        ("a" * 306, 2, "a" * 306),
        ("a" * 307, 2, "a" * 303 + "..."),
        ("a" * 1530, 10, "a" * 1530),
        ("a" * 1531, 10, "a" * 1527 + "..."),
        ("€" * 80, 1, "€" * 80),
        ("€" * 81, 1, "€" * 73 + "..."),
        ("न" * 70, 1, "न" * 70),
        ("न" * 71, 1, "न" * 64 + "..."),
        ("न" * 671, 10, "न" * 667 + "..."),
        ("😀" * 36, 1, "😀" * 30 + "..."),
    ],
)
def test_the_length_of_an_sms(text: str, parts: int, cut: str) -> None:
    assert truncate(text, parts) == cut  # MSG-16, MSG-17
