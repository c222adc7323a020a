"""Make a `data_record` of an SMS or of a JSON body (45 §6..§11). Pure: nothing is read or stored here."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any

from core.couch.client import Doc
from core.dates import local_zone, moment_of, ms_of
from core.errors import DomainError
from core.parsers.codes import FormText, read_form_text
from core.parsers.definition import FormDefinition, FormField, RawValues, find_form
from core.parsers.muvuku import parse_javarosa, parse_positional
from core.parsers.textforms import parse_textforms
from core.parsers.values import ValueRules, date_ms, field_values
from core.phones import PhoneRules
from core.settings import Settings
from core.templates import TemplateRules, render
from core.translations import Translations

log = logging.getLogger(__name__)

LONG_NUMBER = re.compile(r"\d{13,}", re.ASCII)
LATEST_MS = 253_402_300_799_999  # the end of the year 9999


def record_from_message(
    text: str,
    sender: str,
    *,
    settings: Settings,
    translations: Translations,
    now_ms: int,
    sent_timestamp: Any = None,
    locale: str | None = None,
    gateway_ref: str | None = None,
) -> Doc:
    """The record of an SMS as it came from `sender` (SMS-22); a text of no known form becomes a free message.

    Never raises for what the message holds: what cannot be read is told in `errors`.
    """
    read = read_form_text(text, settings.forms)
    language = locale or default_locale(settings)
    form = find_form(read.code, settings, translations, language)
    keeps_code = form is not None or bool(settings.get("forms_only_mode"))
    optional = {"gateway_ref": gateway_ref, "reported_date": sent_timestamp, "locale": locale}
    sms_message = {
        "type": "sms_message",
        "message": text,
        **({"form": read.code} if keeps_code and read.code else {}),
        "from": sender,
        **{name: value for name, value in optional.items() if value is not None},
    }
    record = empty_record(sms_message, settings, reported_ms(sent_timestamp, now_ms))
    problems = Problems(record, settings, translations)
    if not text.strip():
        problems.add("sys.empty")
    if form is None:
        if keeps_code:
            problems.add("sys.form_not_found", form=read.code or "")
        return record
    raw, surplus = parse(read, form, problems)
    rules = ValueRules(PhoneRules.from_settings(settings), translations, language)
    values = field_values(form, raw, rules)
    fill(record, form, values)
    if surplus:
        problems.add("extra_fields", form=form.code)
    if not has_error(record, "parse_error"):
        check_values(form, values, problems)
        warn_of_unread(form, raw, values, problems)
    return record


def record_from_json(
    body: Any,
    *,
    settings: Settings,
    translations: Translations,
    now_ms: int,
    locale: str | None = None,
) -> Doc:
    """The record of a parsed form, `{_meta: {form, from?, reported_date?, locale?}, <field>: <value>}` (REC-3, REC-4).

    DomainError, status 500 as the published API has it, without `_meta`, without a form or with an unknown one.
    """
    meta = body.get("_meta") if isinstance(body, dict) else None
    if not isinstance(meta, dict):
        raise DomainError("Missing _meta property.")
    if not meta.get("form"):
        raise DomainError("Missing required field: form")
    code = str(meta["form"]).upper()
    asked = meta.get("locale") or locale
    form = find_form(code, settings, translations, str(asked or default_locale(settings)))
    if form is None:
        raise DomainError(f"Form not found: {code}")
    sms_message = {**meta, "type": "sms_message", "form": code, **({"locale": asked} if asked else {})}
    record = empty_record(sms_message, settings, reported_ms(meta.get("reported_date"), now_ms))
    given = {str(name).lower(): value for name, value in body.items() if name != "_meta"}
    values = {
        field.name: json_value(field, given[field.name.lower()]) for field in form.fields if field.name.lower() in given
    }
    fill(record, form, values)
    check_values(form, values, Problems(record, settings, translations))
    return record


def unparsable_record(
    text: str, sender: str, *, settings: Settings, translations: Translations, now_ms: int, gateway_ref: str | None
) -> Doc:
    """The free message that is kept when the parsers failed on a text (SMS-21)."""
    sms_message = {"type": "sms_message", "message": text, "from": sender}
    if gateway_ref is not None:
        sms_message["gateway_ref"] = gateway_ref
    record = empty_record(sms_message, settings, now_ms)
    Problems(record, settings, translations).add("parse_error")
    return record


# --- the document -----------------------------------------------------------------------------------------------------


def empty_record(sms_message: Doc, settings: Settings, reported_date: int) -> Doc:
    record: Doc = {"type": "data_record"}
    sender = sms_message.get("from")
    if isinstance(sender, str | int) and not isinstance(sender, bool):
        record["from"] = PhoneRules.from_settings(settings).normalize(str(sender)) or str(sender)
    if sms_message.get("form"):
        record["form"] = sms_message["form"]
    return record | {
        "fields": {},
        "errors": [],
        "tasks": [],
        "reported_date": reported_date,
        "sms_message": sms_message,
    }


def fill(record: Doc, form: FormDefinition, values: Mapping[str, Any]) -> None:
    """Set `fields`, nested where names have dots (JF-1), and `refid` from the facility field (EP-REC-15)."""
    for name, value in values.items():
        set_path(record["fields"], name.split("."), value)
    facility = values.get(form.facility_reference or "")
    if facility is not None:
        record["refid"] = facility.upper() if isinstance(facility, str) else facility


def set_path(fields: Doc, path: list[str], value: Any) -> None:
    for name in path[:-1]:
        below = fields.get(name)
        if not isinstance(below, dict):
            below = fields[name] = {}
        fields = below
    fields[path[-1]] = value


def reported_ms(value: Any, now_ms: int) -> int:
    """When a message was sent: a number, text with 13 digits or more, or a date; else now (SMS-23)."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return int(value) if 0 <= value <= LATEST_MS else now_ms
    if not isinstance(value, str):
        return now_ms
    digits = LONG_NUMBER.search(value)
    if digits:
        return int(digits[0]) if len(digits[0]) <= 15 and int(digits[0]) <= LATEST_MS else now_ms
    moment = None if value.strip().isdigit() else moment_of(value, local_zone())
    try:
        return ms_of((moment or parsedate_to_datetime(value)).astimezone())
    except (ValueError, TypeError, IndexError, OverflowError):
        return now_ms


def default_locale(settings: Settings) -> str:
    return str(settings.get("locale") or "en")


# --- reading and checking ---------------------------------------------------------------------------------------------


def parse(read: FormText, form: FormDefinition, problems: Problems) -> tuple[RawValues, bool]:
    """The raw values, and whether there were more of them than fields."""
    if read.parser is None:
        return parse_textforms(read.rest, form), False
    if read.parser == "1":
        return parse_positional(read.rest, form)
    if read.parser == "J1":
        return parse_javarosa(read.rest, form), False
    problems.add("parse_error", form=form.code)
    return {}, False


def json_value(field: FormField, value: Any) -> Any:
    """A value of a JSON body: dates as milliseconds, 0 and 1 as booleans, everything else as it came (REC-4)."""
    if value == "":
        return None
    if field.type == "date" and isinstance(value, str):
        return date_ms(value)
    if field.type == "boolean" and not isinstance(value, bool) and str(value) in ("0", "1"):
        return str(value) == "1"
    return value


def check_values(form: FormDefinition, values: Mapping[str, Any], problems: Problems) -> None:
    """One error for every value of a wrong type, then one for all required ones that are missing (JF-15)."""
    missing = []
    for field in form.fields:
        value = values.get(field.name)
        if value is None:
            if field.required:
                missing.append(field.name)
        elif not field.choices and not has_type(value, field.type):
            problems.add("sys.incorrect_type", form=form.code, key=field.name, expectedType=field.type)
    if missing:
        problems.add("sys.missing_fields", form=form.code, fields=missing)


def has_type(value: Any, kind: str) -> bool:
    match kind:
        case "integer":
            return value.is_integer() if isinstance(value, float) else type(value) is int
        case "string":
            return isinstance(value, str)
        case "boolean":
            return isinstance(value, bool)
        case "complex":
            return isinstance(value, dict)
    return True


def warn_of_unread(form: FormDefinition, raw: RawValues, values: Mapping[str, Any], problems: Problems) -> None:
    """Note the optional fields whose text could not be read; the record stays valid (JF-16)."""
    for field in form.fields:
        given = raw.get(field.name)
        if given and values.get(field.name) is None and not field.required:
            problems.warn(f"invalid_{field.name}", form=form.code, key=field.name)


def has_error(record: Doc, code: str) -> bool:
    return any(error["code"] == code for error in record["errors"])


class Problems:
    """Adds errors and warnings to a record, in its language (JF-3)."""

    def __init__(self, record: Doc, settings: Settings, translations: Translations) -> None:
        self.record = record
        self.settings = settings
        self.translations = translations

    def add(self, code: str, **context: Any) -> None:
        self.record["errors"].append({"code": code, "message": self._text(code, context)})

    def warn(self, code: str, **context: Any) -> None:
        warnings = self.record.setdefault("warnings", [])
        warnings.append({"code": code, "message": self._text("invalid_value", context)})

    def _text(self, key: str, context: Mapping[str, Any]) -> str:
        fields, sms_message = self.record["fields"], self.record["sms_message"]
        asked = fields.get("locale") or sms_message.get("locale")
        locale = str(asked or default_locale(self.settings))
        try:
            return render(self.translations.text(key, locale), context, TemplateRules(locale=locale))
        except ValueError as error:
            log.warning("the translation of %s cannot be rendered: %s", key, error)
            return key
