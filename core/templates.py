"""Message templates: Mustache without HTML escaping, and the date and phone sections (40 §6.4)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from pystache.parsed import ParsedTemplate
from pystache.parser import ParsingError, parse
from pystache.renderengine import RenderEngine

from core.bikram_sambat import BikramSambat
from core.date_formats import format_moment
from core.dates import local_zone, moment_of
from core.phones import PhoneRules
from core.settings import Settings

INVALID_DATE = "Invalid date"
DATE_FORMAT = "DD-MMM-YYYY"
DATETIME_FORMAT = "DD-MMM-YYYY HH:mm:ss"
LONGEST_TEMPLATE = 100_000


class InvalidTemplate(ValueError):
    """The template cannot be read; the message says where."""


@dataclass(frozen=True)
class TemplateRules:
    """The formats of this deployment and the month names of the message's locale."""

    date_format: str = DATE_FORMAT
    datetime_format: str = DATETIME_FORMAT
    phones: PhoneRules = field(default_factory=PhoneRules)
    locale: str = "en"

    @classmethod
    def from_settings(cls, settings: Settings, locale: str) -> TemplateRules:
        return cls(
            date_format=str(settings.get("date_format") or DATE_FORMAT),
            datetime_format=str(settings.get("reported_date_format") or DATETIME_FORMAT),
            phones=PhoneRules.from_settings(settings),
            locale=locale,
        )


class Stack:
    """The contexts of the sections being rendered, innermost last."""

    def __init__(self, view: Mapping[str, Any]) -> None:
        self.contexts: list[Any] = [view]

    def push(self, context: Any) -> None:
        self.contexts.append(context)

    def pop(self) -> Any:
        return self.contexts.pop()

    def find(self, name: str) -> Any:
        """The value of a name or dotted path in the innermost context that has it; empty text for none."""
        if name == ".":
            return self.contexts[-1]
        path = name.split(".")
        for context in reversed(self.contexts):
            found, value = look_up(context, path)
            if found:
                return "" if value is None else value
        return ""


def look_up(context: Any, path: Sequence[str]) -> tuple[bool, Any]:
    """Follow property names and list indexes from a context; whether the last one exists, and its value."""
    value = context
    for name in path:
        if isinstance(value, Mapping) and name in value:
            value = value[name]
        elif isinstance(value, list) and name.isascii() and name.isdigit() and int(name) < len(value):
            value = value[int(name)]
        else:
            return False, None
    return True, value


def render(template: str, view: Mapping[str, Any], rules: TemplateRules) -> str:
    """The text of a template. Unknown names are empty. InvalidTemplate when a section is not closed."""
    if "{{" not in template:
        return template
    if len(template) > LONGEST_TEMPLATE:
        raise InvalidTemplate(f"a template must not be longer than {LONGEST_TEMPLATE} characters")
    engine = Engine(section_helpers(rules))
    return str(compiled(template).render(engine, Stack(view)))


class Engine(RenderEngine):  # type: ignore[misc]
    """Renders with a `Stack`, without escaping; the special sections get their content already rendered."""

    def __init__(self, helpers: Mapping[str, Callable[[str], str]]) -> None:
        super().__init__(
            literal=str, escape=str, resolve_context=Stack.find, resolve_partial=lambda name: "", to_str=as_text
        )
        self.helpers = helpers

    def fetch_section_data(self, context: Stack, name: str) -> Any:
        helper = self.helpers.get(name)
        if helper is None:
            return super().fetch_section_data(context, name)
        return [lambda inner: helper(str(compiled(inner).render(self, context)))]


@lru_cache(maxsize=1000)
def compiled(template: str) -> ParsedTemplate:
    try:
        return parse(template, raise_on_mismatch=True)
    except (ParsingError, RecursionError) as error:
        raise InvalidTemplate(f"invalid template: {error}") from error


def as_text(value: Any) -> str:
    """A value as a message shows it: whole numbers without a fraction, lists with commas, objects not at all."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, Mapping):
        return ""
    if isinstance(value, Iterable) and not isinstance(value, str):
        return ",".join(as_text(each) for each in value)
    return "" if value is None else str(value)


# --- sections ---------------------------------------------------------------------------------------------------------


def section_helpers(rules: TemplateRules) -> dict[str, Callable[[str], str]]:
    """What each special section does with its rendered content (TPL-2..TPL-5)."""
    return {
        "date": lambda text: formatted_date(text, rules.date_format, rules.locale),
        "datetime": lambda text: formatted_date(text, rules.datetime_format, rules.locale),
        "bikram_sambat_date": bikram_sambat_date,
        "local_phone": lambda text: rules.phones.national(text.strip()),
    }


def formatted_date(text: str, tokens: str, locale: str) -> str:
    moment = moment_of(text, local_zone())
    return INVALID_DATE if moment is None else format_moment(moment, tokens, locale)


def bikram_sambat_date(text: str) -> str:
    moment = moment_of(text, local_zone())
    if moment is None:
        return INVALID_DATE
    try:
        return BikramSambat.from_gregorian(moment.date()).text()
    except ValueError:
        return INVALID_DATE
