"""JSON form definitions as the settings hold them (45 §6)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from core.settings import Settings
from core.translations import Translations

# Raw values by field name: text, or a list where a label came more than once. A field that did not come is absent.
RawValues = dict[str, str | list[str]]

COMPUTED = "bsAggreDate"


@dataclass(frozen=True)
class FormField:
    """One field of a form. `tiny` and `short` are its labels in the record's locale, lower-cased."""

    name: str
    type: str
    required: bool = False
    choices: tuple[tuple[Any, Any], ...] = ()
    tiny: str = ""
    short: str = ""

    @property
    def is_computed(self) -> bool:
        """Whether the value comes from other fields, so that the message holds none for it."""
        return self.type == COMPUTED


@dataclass(frozen=True)
class FormDefinition:
    code: str
    fields: tuple[FormField, ...] = ()
    facility_reference: str | None = None
    by_label: Mapping[str, FormField] = field(default_factory=dict)

    @property
    def inputs(self) -> list[FormField]:
        """The fields that take a value from the message, in the order of the definition."""
        return [each for each in self.fields if not each.is_computed]


def find_form(code: str | None, settings: Settings, translations: Translations, locale: str) -> FormDefinition | None:
    """The definition of a form code; None when the settings have none."""
    definition = settings.forms.get(code) if code else None
    if code is None or not isinstance(definition, dict):
        return None
    configured = definition.get("fields")
    entries = configured.items() if isinstance(configured, dict) else ()
    fields = tuple(form_field(name, each, translations, locale) for name, each in entries if isinstance(each, dict))
    reference = definition.get("facility_reference")
    by_name = {each.name.lower(): each for each in fields}
    by_tiny = {each.tiny: each for each in fields if each.tiny}
    return FormDefinition(code, fields, str(reference) if reference else None, {**by_name, **by_tiny})


def form_field(name: str, entry: Mapping[str, Any], translations: Translations, locale: str) -> FormField:
    labels = entry.get("labels")
    labels = labels if isinstance(labels, dict) else {}
    choices = entry.get("list")
    return FormField(
        name=name,
        type=str(entry.get("type") or "string"),
        required=bool(entry.get("required")),
        choices=tuple((each[0], each[1]) for each in choices if isinstance(each, list) and len(each) > 1)
        if isinstance(choices, list)
        else (),
        tiny=label_text(labels.get("tiny"), translations, locale).strip().lower(),
        short=label_text(labels.get("short"), translations, locale).strip().lower(),
    )


def label_text(label: Any, translations: Translations, locale: str) -> str:
    """A label in the locale: a text or key, `{translation_key}`, `{translations: [...]}` or `{locale: text}` (JF-2)."""
    if isinstance(label, dict):
        key = label.get("translation_key") or label.get("translationKey")
        if key:
            return translations.text(str(key), locale)
        entries = label.get("translations")
        by_locale = dict(label)
        if isinstance(entries, list):
            by_locale |= {str(e.get("locale")): e.get("content") for e in entries if isinstance(e, dict)}
        texts = {name: text for name, text in by_locale.items() if isinstance(text, str)}
        return next((texts[name] for name in (locale, "default", "en", *texts) if name in texts), "")
    if isinstance(label, str):
        return translations.text(label, locale)
    return str(label) if isinstance(label, int | float) and not isinstance(label, bool) else ""
