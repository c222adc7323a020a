"""The dates a registration tells: expected delivery from weeks or date, birth from an age (40 TR-REG-16, 17)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime, tzinfo
from typing import Any

from dateutil.relativedelta import relativedelta

from core.dates import add, iso_of, moment_of, start_of_day
from core.documents import Doc
from core.loose import number_of
from sentinel.transitions.conditions import fields_of

LMP_DATES = ("lmp_date", "date_lmp")
LMP_WEEKS = ("weeks_since_lmp", "last_menstrual_period", "lmp")
PREGNANCY = relativedelta(weeks=40)

AGES: Mapping[str, tuple[str, ...]] = {
    "years": ("years_since_dob", "years_since_birth", "age_in_years"),
    "months": ("months_since_dob", "months_since_birth", "age_in_months"),
    "weeks": ("weeks_since_dob", "dob", "weeks_since_birth", "age_in_weeks"),
    "days": ("days_since_dob", "days_since_birth", "age_in_days"),
}
LONGEST = 100_000


def add_expected_date(doc: Doc, zone: tzinfo) -> None:
    """Set `lmp_date` and `expected_date`, to null when the report does not tell (TR-REG-16)."""
    start = last_period(doc, zone)
    expected = None if start is None else add(start, PREGNANCY)
    doc["lmp_date"] = None if start is None else iso_of(start)
    doc["expected_date"] = None if expected is None else iso_of(expected)


def last_period(doc: Doc, zone: tzinfo) -> datetime | None:
    fields = fields_of(doc)
    for name in LMP_DATES:
        if moment := moment_of(fields.get(name), zone):
            return moment
    values = (fields[name] for name in LMP_WEEKS if fields.get(name) is not None)
    weeks = next((number for value in values if not math.isnan(number := number_of(value))), 0)
    return before_report(doc, zone, relativedelta(weeks=int(weeks))) if 0 < abs(weeks) < LONGEST else None


def add_birth_date(doc: Doc, zone: tzinfo) -> None:
    """Set `birth_date`: the report's day less the first age it has, the day itself when it has none (TR-REG-17)."""
    fields = fields_of(doc)
    age = relativedelta()
    for unit, names in AGES.items():
        value = next((fields[name] for name in names if fields.get(name) is not None), None)
        if value is not None:
            count = number_of(value)
            age = relativedelta(**{unit: int(count)}) if abs(count) < LONGEST else age  # type: ignore[arg-type]
            break
    born = before_report(doc, zone, age)
    doc["birth_date"] = None if born is None else iso_of(born)


def before_report(doc: Doc, zone: tzinfo, span: relativedelta) -> datetime | None:
    reported: Any = moment_of(doc.get("reported_date"), zone)
    return None if reported is None else add(start_of_day(reported), span, sign=-1)
