"""core.exports.report_rows: whatever a report holds, its line is what its cells one by one would make (EP-EXP-10)."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from core.exports.asked import Options
from core.exports.cells import Csv
from core.exports.report_rows import OWN, Lines
from core.exports.reports import flat

TEXTS = st.text(alphabet=st.sampled_from('ab=@+-"\\,\n\t\x01\u00e9\U0001f600 1'), max_size=6)
LEAVES = (
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | TEXTS
)
NAMES = st.sampled_from(["a", "b", "c.d", ""])
VALUES = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(NAMES, inner, max_size=3))
FIELDS = st.dictionaries(NAMES, VALUES, max_size=4)
NOBODY = orjson.Fragment(b",,,")


def cell_by_cell(report: dict[str, Any], columns: list[str], csv: Csv) -> str:
    values: dict[str, Any] = {}
    gather(report["fields"], "", values)
    own = [csv.cell(report[name]) for name in OWN]
    return ",".join([*own, ",,,", *(csv.cell(values.get(column)) for column in columns)]) + "\n"


def gather(fields: dict[str, Any], prefix: str, values: dict[str, Any]) -> None:
    for name, value in fields.items():
        values[prefix + name] = value
        if isinstance(value, dict):
            gather(value, f"{prefix}{name}.", values)


@pytest.mark.parametrize("csv", [Csv(), Csv(doubled=True), Csv(defused=False)], ids=["plain", "rfc4180", "formulas"])
@settings(deadline=None)
@given(fields=FIELDS, others=FIELDS, sender=TEXTS | st.none(), form=TEXTS)
@example(fields={"a": "+1", "b": "null,"}, others={"a": {"b": 1}}, sender="+254711000111", form="V")
def test_a_line_is_its_cells(csv: Csv, fields: Any, others: Any, sender: str | None, form: str) -> None:
    report = {"_id": "r", "form": form, "patient_id": None, "reported_date": 7, "from": sender, "fields": fields}
    columns = sorted({*flat(fields), *flat(others)})
    lines = Lines(columns, Options(csv=csv))

    made = lines.text([report, report], [NOBODY, NOBODY]).decode()

    assert made == cell_by_cell(report, columns, csv) * 2
