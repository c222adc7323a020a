"""Textforms: values in a row (`REG Anna 12`), or behind their labels (`REG N Anna#LMP 12`) (45 §8)."""

from __future__ import annotations

import re

from core.parsers.definition import FormDefinition, FormField, RawValues

WORDS = re.compile(r'"[^"]*"|\S+')
WORDS_LONG_QUOTE = re.compile(r'".*"|\S+', re.DOTALL)
PART = re.compile(
    r"[\s!\-]*(?P<key>[^\s\d!\-]+)"
    r"[\s!\-]*(?P<date>\d{4}[-/]\d{1,2}[-/]\d{1,2}(?!\d))?"
    r"[\s!\-]*(?P<number>[1-9][0-9]*)?"
    r"[\s!\-]*(?P<rest>.*)",
    re.DOTALL,
)


def parse_textforms(rest: str, form: FormDefinition) -> RawValues:
    """Raw values of the fields that appear (JF-13); `rest` is the message behind the form's code."""
    parts = [part for part in rest.split("#") if part.strip()]
    if len(parts) <= 1 and not starts_with_label(rest, form):
        return parse_compact(parts[0] if parts else "", form.inputs)
    return parse_labelled(parts, form)


def starts_with_label(text: str, form: FormDefinition) -> bool:
    """Whether a tiny or short label stands first, followed by the end, a blank or a digit (JF-7)."""
    start = text.strip().lower()
    for field in form.inputs:
        for label in (field.tiny, field.short):
            following = start[len(label) : len(label) + 1]
            if label and start.startswith(label) and (not following or following.isspace() or following.isdigit()):
                return True
    return False


def parse_compact(text: str, fields: list[FormField]) -> RawValues:
    """Words in the order of the fields; quotes keep blanks, and a last text field takes all that is left (JF-8)."""
    words = list(WORDS.finditer(text))
    if len(words) > len(fields) and '"' in text:
        words = list(WORDS_LONG_QUOTE.finditer(text))
    values: RawValues = {}
    for at, (field, word) in enumerate(zip(fields, words, strict=False)):
        takes_rest = at == len(fields) - 1 and field.type == "string"
        values[field.name] = unquoted(text[word.start() :].strip() if takes_rest else word[0])
    return values


def unquoted(text: str) -> str:
    return text[1:-1] if len(text) > 1 and text.startswith('"') and text.endswith('"') else text


def parse_labelled(parts: list[str], form: FormDefinition) -> RawValues:
    """One labelled value in each part; unknown labels are ignored, a repeated one makes a list (JF-9, JF-10)."""
    values: RawValues = {}
    for part in parts:
        found = PART.fullmatch(part)
        field = form.by_label.get(found["key"].lower()) if found else None
        if found is None or field is None:
            continue
        value = found["date"] or (found["number"] or "") + found["rest"].strip()
        before = values.get(field.name)
        if before is None:
            values[field.name] = value
        else:
            values[field.name] = [*(before if isinstance(before, list) else [before]), value]
    return values
