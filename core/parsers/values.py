"""The value a field stores for what stood in the message, by the field's type (45 §9)."""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from core.bikram_sambat import BikramSambat
from core.dates import existing, local_zone, moment_of, ms_of
from core.parsers.codes import strip_invisible
from core.parsers.definition import FormDefinition, FormField, RawValues, label_text
from core.phones import PhoneRules
from core.translations import Translations

log = logging.getLogger(__name__)

DEVANAGARI = str.maketrans("०१२३४५६७८९", "0123456789")
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)", re.ASCII)
DATE = re.compile(r"(\d{4})[-/](\d{1,2})[-/](\d{1,2})", re.ASCII)
NEPALI_DATE = re.compile(r"(\d{4})\D+(\d{1,2})\D+(\d{1,2})", re.ASCII)
SUBJECT_NAMES = frozenset({"patient_id", "place_id"})
EXACT_WHOLE = 2**53


@dataclass(frozen=True)
class ValueRules:
    """What values depend on beside their type."""

    phones: PhoneRules
    translations: Translations
    locale: str


def field_values(form: FormDefinition, raw: RawValues, rules: ValueRules) -> dict[str, Any]:
    """Values by field name in the order of the definition; a field that did not come stays absent (JF-14)."""
    values: dict[str, Any] = {}
    for field in form.fields:
        if field.is_computed:
            computed = aggregated_date(form, raw)
            if computed is not UNSET:
                values[field.name] = computed
        elif field.name in raw:
            given = raw[field.name]
            values[field.name] = given if isinstance(given, list) else field_value(field, given, rules)
    return values


def field_value(field: FormField, text: str, rules: ValueRules) -> Any:
    """One value; None for an empty text and for what the type cannot read."""
    if text == "":
        return None
    match field.type:
        case "string":
            return string_value(field, text, rules)
        case "integer":
            number = number_value(text)
            return chosen_label(field, number, rules, otherwise=None) if field.choices else number
        case "boolean":
            return {"1": True, "0": False}.get(plain_digits(text))
        case "month":
            return number_value(text)
        case "date":
            return date_ms(text)
        case "phone_number":
            digits = plain_digits(text)
            return rules.phones.normalize(digits) or digits
        case "bsYear" | "bsMonth" | "bsDay":
            return plain_digits(text)
        case "bsDate":
            return nepali_date_ms(text)
        case "complex" | "custom":
            return text
    log.warning("field %s has the unknown type %s; its text is kept", field.name, field.type)
    return text


def plain_digits(text: str) -> str:
    """Devanagari digits as ASCII ones, without invisible characters and blanks around."""
    return strip_invisible(text).translate(DEVANAGARI).strip()


def string_value(field: FormField, text: str, rules: ValueRules) -> Any:
    if field.choices:
        return chosen_label(field, text, rules, otherwise=text)
    return plain_digits(text) if field.name in SUBJECT_NAMES else text


def chosen_label(field: FormField, value: Any, rules: ValueRules, *, otherwise: Any) -> Any:
    """The translated label of the equal choice."""
    for choice, label in field.choices:
        if value is not None and (choice == value or str(choice) == str(value)):
            return label_text(label, rules.translations, rules.locale)
    log.info("field %s: %r is none of its choices", field.name, value)
    return otherwise


def number_value(text: str) -> int | float | None:
    """A number, whole where it can be; None when the text is something else."""
    digits = plain_digits(text)
    if not NUMBER.fullmatch(digits):
        return None
    number = float(digits)
    if not math.isfinite(number):
        return None
    return int(number) if number.is_integer() and abs(number) <= EXACT_WHOLE else number


def date_ms(text: str) -> int | None:
    """Milliseconds of local midnight, or of the given time of an ISO date."""
    written = strip_invisible(text).strip()
    found = DATE.fullmatch(written)
    if found:
        try:
            return midnight_ms(date(*map(int, found.groups())))
        except (ValueError, OverflowError):
            return None
    moment = moment_of(written, local_zone()) if "-" in written else None
    return None if moment is None else ms_of(moment)


def midnight_ms(day: date) -> int:
    return ms_of(existing(datetime(day.year, day.month, day.day, tzinfo=local_zone())))


def nepali_date_ms(text: str) -> int | None:
    found = NEPALI_DATE.fullmatch(plain_digits(text))
    return nepali_ms(*map(int, found.groups())) if found else None


def nepali_ms(year: int, month: int, day: int) -> int | None:
    try:
        return midnight_ms(BikramSambat(year, month, day).to_gregorian())
    except ValueError:
        return None


UNSET: Any = object()


def aggregated_date(form: FormDefinition, raw: RawValues) -> Any:
    """The Gregorian date of the definition's Nepali year, month and day fields; UNSET without a year.

    Month and day are 1 where the definition has no such field; a defined one that is missing makes it None.
    """
    names: Mapping[str, str] = {field.type: field.name for field in form.fields}
    parts: list[int] = []
    for kind in ("bsYear", "bsMonth", "bsDay"):
        given = raw.get(names[kind]) if kind in names else "1"
        digits = plain_digits(given) if isinstance(given, str) else ""
        if kind == "bsYear" and (kind not in names or not digits):
            return UNSET
        if not (digits.isascii() and digits.isdigit() and len(digits) <= 4):
            return None
        parts.append(int(digits))
    return nepali_ms(*parts)
