"""Muvuku messages: values by position (`1!REG!Anna#12`), or by JavaRosa label (`J1!REG!N#Anna#LMP#12`) (45 §8)."""

from __future__ import annotations

import re

from core.parsers.definition import FormDefinition, RawValues

UNESCAPED_HASH = re.compile(r"(?<!\\)#")


def parse_positional(rest: str, form: FormDefinition) -> tuple[RawValues, bool]:
    """Values in the order of the fields, and whether there were more of them than fields (JF-11)."""
    values = [value.strip() for value in rest.split("#")]
    fields = form.inputs
    raw: RawValues = {field.name: value for field, value in zip(fields, values, strict=False)}
    return raw, len(values) > len(fields)


def parse_javarosa(rest: str, form: FormDefinition) -> RawValues:
    """Alternating labels and values; unknown labels are ignored, `\\#` is a `#` of the value (JF-12)."""
    parts = [part.replace("\\#", "#").strip() for part in UNESCAPED_HASH.split(rest)]
    raw: RawValues = {}
    for label, value in zip(parts[::2], [*parts[1::2], ""], strict=False):
        field = form.by_label.get(label.lower())
        if field is not None:
            raw[field.name] = value
    return raw
