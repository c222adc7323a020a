"""The validation language (40 §9)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from core.errors import InvalidInput, NotFound, Unavailable
from core.phones import PhoneRules
from core.settings import Settings
from core.validation import compile_rules, looks_around, validate

NOW = datetime(2024, 5, 15, 10, 20, 30, tzinfo=ZoneInfo("Africa/Nairobi"))
REPORTED_MS = int(NOW.timestamp() * 1000)
DAY_MS = 86_400_000


class Reports:
    """Answers from a list of reports; `failure` makes it fail."""

    def __init__(self, *reports: dict[str, Any], phones: Mapping[str, str] | None = None) -> None:
        self.reports = reports
        self.phones = phones or {}
        self.failure: Exception | None = None

    async def valid_reports_with(self, values: Mapping[str, Any], since_ms: int | None = None) -> set[str]:
        if self.failure:
            raise self.failure
        return {
            report["_id"]
            for report in self.reports
            if all(str({**report, **report["fields"]}.get(name)) == str(value) for name, value in values.items())
            and (since_ms is None or report["reported_date"] >= since_ms)
        }

    async def contacts_with_phone(self, phone: str) -> set[str]:
        return {doc_id for doc_id, stored in self.phones.items() if stored == phone}


async def errors_of(
    rule: str, fields: Mapping[str, Any], lookups: Reports | None = None, prop: str = "v", **root: Any
) -> list[Any]:
    doc = {"_id": "r1", "form": "F", "reported_date": REPORTED_MS, "fields": dict(fields), **root}
    return await validate(
        doc,
        [{"property": prop, "rule": rule, "message": "wrong"}],
        lookups=lookups or Reports(),
        phones=PhoneRules.from_settings(Settings({"default_country_code": 254})),
        text=lambda config: config.get("message"),
        now=NOW,
    )


async def passes(rule: str, value: Any, **fields: Any) -> bool:
    return not await errors_of(rule, {"v": value, **fields})


@pytest.mark.parametrize(
    ("rule", "value", "expected"),
    [
        ("min(3)", 2, False),  # V-8
        ('equals("a") || equals("b") && equals("c")', "a", False),  # V-8, VAL-4
        ('equals("a") || (equals("b") && equals("c"))', "a", True),
        ("required", 0, False),  # V-8
        ("required", False, False),
        ("required", "0", True),
        ("nosuch(1)", "x", True),  # V-8, VAL-5
        ("!nosuch", "x", False),
        ("optional", "", True),
        ("equals(5)", "5", True),
        ("sEquals(5)", "5", False),
        ("sEquals(5)", 5.0, True),
        ("sequals('x')", "x", True),
        ("iEquals('AbC')", "aBc", True),
        ("siEquals('AbC')", "aBc", True),
        ("equals('')", "", False),  # VAL-7
        ("lenMin(2)", "ab", True),
        ("lenMin(2)", 12345, False),
        ("lenMax(2)", "abc", False),
        ("lenEquals(5)", 12345, True),
        ("min(3) && max(5)", 4, True),
        ("between(1, 3)", "3", True),
        ("between(1, 3)", 3.5, False),
        ("between(-2, 3)", -1, True),
        ("in('a','b')", "b", True),
        ("in(1, 2)", "2", True),
        ("in('a')", "c", False),
        ("numeric", "12.5", True),
        ("numeric", "", False),
        ("numeric", "1_000", False),
        ("integer", "12", True),
        ("integer", 12.5, False),
        ("integer", "x", False),
        ("alpha", "abC", True),
        ("alpha", "ab1", False),
        ("alphaNumeric", "ab1", True),
        ("email", "a.b@example.org", True),
        ("email", "a.b@example", False),
        ("regex('^\\d{5}$')", "12345", True),
        ("regex('B', 'i')", "abc", True),
        ("regex('x')", "abc", False),
        ("regex('(')", "abc", False),
        ("min(1) ? max(3) : equals('none')", 2, True),
        ("min(1) ? max(3) : equals('none')", "none", True),
        ("min(1) ? max(3) : equals('none')", 4, False),
        ("equals(1) || equals(2) ? required : nosuch", 2, True),
        ("! ( equals('a') || equals('b') )", "b", False),
        ("l e n M i n ( 2 )", "ab", True),  # VAL-3: blanks join words
        ("LENMIN(2)", "ab", True),  # VAL-5
        ("isAfter('2 weeks')", REPORTED_MS + 14 * DAY_MS, True),
        ("isAfter('2 weeks')", REPORTED_MS + 13 * DAY_MS, False),
        ("isAfter('-2 weeks')", "2024-05-01", True),
        ("isBefore('2 days')", "2024-05-13", True),
        ("isBefore('2 days')", "2024-05-14", False),
        ("isAfter('soon')", "2024-05-13", False),
        ("validPhone('v')", "0712345678", True),
        ("validPhone('v')", "07123", False),
        ("validPhone('v')", "0712345678x", False),
    ],
)
async def test_rule(rule: str, value: Any, expected: bool) -> None:
    assert await passes(rule, value) is expected


@pytest.mark.parametrize(
    ("week", "year", "expected"), [(53, 2023, False), (52, 2023, True), (53, 2020, True), (0, 2023, False)]
)
async def test_iso_week_must_be_in_its_year(week: int, year: int, expected: bool) -> None:  # V-8
    assert await passes("isISOWeek('week', 'year')", "", week=week, year=year) is expected


async def test_other_applies_to_another_property() -> None:  # VAL-5
    assert await passes("otherMin('age', 18)", "", age=20)
    assert not await passes("otherMin('age', 18)", "", age=17)


async def test_equals_to_compares_two_properties() -> None:
    assert await passes("equalsTo('again')", "5", again=5)


async def test_fields_win_over_the_root_and_missing_is_blank() -> None:  # VAL-1
    assert await errors_of("equals('field')", {"v": "field"}, v="root") == []
    assert await errors_of("equals('root')", {}, v="root") == []
    assert await errors_of("lenEquals(0)", {}) == []
    assert await errors_of("lenEquals(0)", {"v": None}) == []


async def test_error_names_the_property() -> None:  # VAL-2
    assert await errors_of("min(3)", {"age": 1}, prop="age") == [{"code": "invalid_age", "message": "wrong"}]


async def test_error_has_no_message_when_none_is_configured() -> None:  # VAL-2
    errors = await validate(
        {"fields": {}},
        [{"property": "a", "rule": "required"}],
        lookups=Reports(),
        phones=PhoneRules(),
        text=lambda config: config.get("message"),
        now=NOW,
    )

    assert errors == [{"code": "invalid_a"}]


@pytest.mark.parametrize(
    "rule",
    ["equals(abc)", "(min(1)", "min(1))", "min(1) &&", "equals('a)", "min(1) ? max(2)", "between(1 2", "&& min(1)"],
)
def test_what_is_not_in_the_language_is_refused_at_load(rule: str) -> None:  # VAL-6
    with pytest.raises(InvalidInput, match=r"registrations\[0\]\.validations\.list\[0\]\.rule"):
        compile_rules([{"property": "a", "rule": rule}], "registrations[0].validations.list")


async def test_unreadable_rule_is_the_one_error_of_the_whole_list() -> None:  # VAL-6
    errors = await validate(
        {"fields": {}},
        [{"property": "a", "rule": "required"}, {"property": "b", "rule": "equals(x)"}],
        lookups=Reports(),
        phones=PhoneRules(),
        text=lambda config: None,
        now=NOW,
    )

    assert len(errors) == 1
    assert errors[0].startswith('Error on pupil validations: {"message":')
    assert errors[0].endswith('"pos":7}')


def test_deep_nesting_is_refused() -> None:
    with pytest.raises(InvalidInput, match="nested too deeply"):
        compile_rules([{"property": "a", "rule": "(" * 5000 + "min(1)" + ")" * 5000}], "list")


def test_unknown_function_is_only_a_warning(caplog: pytest.LogCaptureFixture) -> None:  # VAL-5
    compile_rules([{"property": "a", "rule": "nosuch(1) && otherMin('b', 1) && unique('a')"}], "here")

    assert [record.getMessage() for record in caplog.records] == [
        "here[0].rule: 'nosuch' is not a known function and always passes"
    ]


OTHER = {"_id": "r0", "form": "F", "reported_date": REPORTED_MS - 10 * DAY_MS, "fields": {"v": "Asha"}}
ITSELF = {"_id": "r1", "form": "F", "reported_date": REPORTED_MS, "fields": {"v": "Asha"}}


@pytest.mark.parametrize(
    ("rule", "reports", "expected"),
    [
        ("unique('v')", [OTHER], False),
        ("unique('v')", [ITSELF], True),  # VAL-8
        ("unique('form', 'v')", [{**OTHER, "form": "G"}], True),
        ("uniqueWithin('v', '5 days')", [OTHER], True),
        ("uniqueWithin('v', '2 weeks')", [OTHER], False),
        ("exists('F', 'v')", [OTHER], True),
        ("exists('G', 'v')", [OTHER], False),
    ],
)
async def test_other_reports_are_asked(rule: str, reports: list[dict[str, Any]], expected: bool) -> None:
    assert (await errors_of(rule, {"v": "Asha"}, Reports(*reports)) == []) is expected


async def test_phone_of_another_contact_is_not_unique() -> None:
    lookups = Reports(phones={"c9": "+254712345678"})

    assert await errors_of("uniquePhone('v')", {"v": "+254712345678"}, lookups)
    assert not await errors_of("uniquePhone('v')", {"v": "+254700000000"}, lookups)


async def test_lookup_that_fails_makes_the_value_invalid() -> None:  # VAL-10
    lookups = Reports()
    lookups.failure = NotFound("no such view")

    assert await errors_of("unique('v')", {"v": "Asha"}, lookups)


async def test_outage_is_not_taken_for_an_answer() -> None:
    lookups = Reports()
    lookups.failure = Unavailable("CouchDB cannot be reached")

    with pytest.raises(Unavailable):
        await errors_of("unique('v')", {"v": "Asha"}, lookups)


def test_rules_that_depend_on_other_documents_are_known() -> None:
    assert looks_around(compile_rules([{"property": "a", "rule": "required && !unique('a')"}], "list"))
    assert not looks_around(compile_rules([{"property": "a", "rule": "required"}], "list"))
