"""The validation language of the settings, `{property, rule, translation_key}`, applied to a report (40 §9)."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from core import scripting
from core.dates import add, moment_of, parse_duration
from core.documents import Doc
from core.errors import DomainError, InvalidInput, Unavailable
from core.loose import loosely_equal, number_of, text_of
from core.phones import PhoneRules
from core.rule_parser import And, Argument, Call, Choice, Node, Not, Or, RuleError, calls, parse_rule

log = logging.getLogger(__name__)

EMAIL = re.compile(r"[A-Z0-9._%+-]+@[A-Z0-9.-]+\.[A-Z]{2,4}", re.IGNORECASE)
LEADING_INTEGER = re.compile(r"\s*[+-]?[0-9]+")
# Functions that ask about other documents: reports judged by them must be judged one after the other.
LOOKING_AROUND = frozenset({"unique", "uniquewithin", "exists", "uniquephone"})

Text = Callable[[Mapping[str, Any]], str | None]


class Lookups(Protocol):
    """What the rules may ask about other documents."""

    async def valid_reports_with(self, values: Mapping[str, Any], since_ms: int | None = None) -> set[str]:
        """Ids of reports without errors that have all these values (texts compared without case), reported since."""

    async def contacts_with_phone(self, phone: str) -> set[str]:
        """Ids of the contacts with exactly that phone."""


@dataclass(frozen=True)
class Rule:
    """One entry of a list. `node` is None when the text is not in the language; then `failure` says why (VAL-6)."""

    property: str
    config: Mapping[str, Any]
    node: Node | None
    failure: RuleError | None = None


def compile_rules(entries: Any, where: str) -> tuple[Rule, ...]:
    """The rules of a `validations.list`, read once at load. `where` is its path in the settings.

    Raises InvalidInput for a rule that is not in the language; a function nobody knows is only a warning (VAL-5).
    """
    rules = []
    for index, entry in enumerate(entries if isinstance(entries, list) else ()):
        at = f"{where}[{index}]"
        if not isinstance(entry, dict) or not isinstance(entry.get("property"), str):
            raise InvalidInput(f"{at}: expected an object with `property` and `rule`")
        rule = rule_of(entry)
        if rule.failure is not None:
            raise InvalidInput(f"{at}.rule: {rule.failure.message} at {rule.failure.pos}")
        for call in calls(rule.node) if rule.node else ():
            if not {call.name, call.name.removeprefix("other")} & KNOWN:
                log.warning("%s.rule: %r is not a known function and always passes", at, call.name)
        rules.append(rule)
    return tuple(rules)


def rule_of(entry: Mapping[str, Any]) -> Rule:
    try:
        return Rule(str(entry.get("property")), entry, parse_rule(str(entry.get("rule") or "optional")))
    except RuleError as error:
        return Rule(str(entry.get("property")), entry, None, error)


def looks_around(rules: Sequence[Rule]) -> bool:
    """Whether the answer depends on other documents."""
    names = (call.name for rule in rules if rule.node for call in calls(rule.node))
    return any(name.removeprefix("other") in LOOKING_AROUND for name in names)


async def validate(
    doc: Doc,
    rules: Sequence[Rule] | Sequence[Mapping[str, Any]],
    *,
    lookups: Lookups,
    phones: PhoneRules,
    text: Text,
    now: datetime,
) -> list[Any]:
    """The errors `{code, message}` of a report, in the order of the rules (VAL-1, VAL-2).

    `text` gives the message of an entry in the report's locale. A rule that cannot be read makes the one error of
    the whole list, a plain text (VAL-6).
    """
    compiled = [rule if isinstance(rule, Rule) else rule_of(rule) for rule in rules]
    for rule in compiled:
        if rule.failure is not None:
            return [f'Error on pupil validations: {{"message":"{rule.failure.message}","pos":{rule.failure.pos}}}']
    report = Report(doc, lookups, phones, now)
    errors = []
    for rule in compiled:
        if rule.node is not None and not await report.passes(rule.node, rule.property):
            error = {"code": f"invalid_{rule.property}"}
            if (message := text(rule.config)) is not None:
                error["message"] = message
            errors.append(error)
    return errors


class Report:
    """One report under validation: its values and what may be asked about them."""

    def __init__(self, doc: Doc, lookups: Lookups, phones: PhoneRules, now: datetime) -> None:
        fields = doc.get("fields")
        self.doc_id = doc.get("_id")
        self.values: dict[str, Any] = {**doc, **(fields if isinstance(fields, dict) else {})}
        self.lookups = lookups
        self.phones = phones
        self.now = now

    def value(self, name: str) -> Any:
        found = self.values.get(name)
        return "" if found is None else found

    async def passes(self, node: Node, name: str) -> bool:
        match node:
            case Not(inner):
                return not await self.passes(inner, name)
            case And(left, right):
                return await self.passes(left, name) and await self.passes(right, name)
            case Or(left, right):
                return await self.passes(left, name) or await self.passes(right, name)
            case Choice(condition, yes, no):
                return await self.passes(yes if await self.passes(condition, name) else no, name)
            case Call():
                return await self.holds(node, name)

    async def holds(self, call: Call, name: str) -> bool:
        """One function on one property; an unknown one holds (VAL-5), a lookup that fails does not (VAL-10)."""
        function, arguments = call.name, call.arguments
        if function not in FUNCTIONS and function.startswith("other") and arguments:
            function, name, arguments = function.removeprefix("other"), text_of(arguments[0]), arguments[1:]
        if function in FUNCTIONS:
            return FUNCTIONS[function](self.value(name), arguments, self)
        if function == "regex":
            return await self.matches(self.value(name), arguments)
        if function in LOOKING_AROUND:
            try:
                return await self.asks(function, self.value(name), [text_of(each) for each in arguments])
            except Unavailable:
                raise
            except DomainError as error:
                log.warning("validation %s of %s failed: %s", function, self.doc_id, error.message)
                return False
        return True

    async def matches(self, value: Any, arguments: Sequence[Argument]) -> bool:
        """JavaScript's own engine decides, under its time limit: patterns are written for it, and some never end."""
        if not arguments:
            return False
        names = {"value": text_of(value), "pattern": text_of(arguments[0])}
        names["flags"] = text_of(arguments[1]) if len(arguments) > 1 else ""
        try:
            return bool(await scripting.evaluate("new RegExp(pattern, flags).test(value)", names))
        except scripting.ScriptError as error:
            log.warning("validation regex of %s failed: %s", self.doc_id, error.message)
            return False

    async def asks(self, function: str, value: Any, arguments: list[str]) -> bool:
        if function == "uniquephone":
            phone = text_of(self.value(arguments[0]) if arguments else value)
            return not await self.lookups.contacts_with_phone(phone) - {self.doc_id}
        if function == "exists":
            if len(arguments) < 2:
                return False
            wanted = {"form": arguments[0], arguments[1]: value}
            return bool(await self.lookups.valid_reports_with(wanted) - {self.doc_id})
        since_ms = None
        if function == "uniquewithin":
            span = parse_duration(arguments.pop()) if arguments else None
            since = None if span is None else add(self.now, span, sign=-1)
            if since is None:
                return False
            since_ms = int(since.timestamp() * 1000)
        wanted = {name: self.value(name) for name in arguments}
        return not await self.lookups.valid_reports_with(wanted, since_ms) - {self.doc_id}


Function = Callable[[Any, Sequence[Argument], Report], bool]


def first(arguments: Sequence[Argument]) -> Any:
    return arguments[0] if arguments else None


def length(value: Any) -> float:
    """The length of a text or list; other values have none, and nothing compares with that."""
    return float(len(value)) if isinstance(value, str | list) else float("nan")


def folded(value: Any) -> Any:
    return value.lower() if isinstance(value, str) else value


def strictly_equal(one: Any, other: Any) -> bool:
    def kind(value: Any) -> type:
        return float if isinstance(value, int | float) and not isinstance(value, bool) else type(value)

    return kind(one) is kind(other) and bool(one == other)


def is_whole(value: Any) -> bool:
    found = LEADING_INTEGER.match(text_of(value))
    return found is not None and float(found[0]) == number_of(value)


def fully(pattern: str | re.Pattern[str]) -> Function:
    return lambda value, arguments, report: re.fullmatch(pattern, text_of(value)) is not None


def is_iso_week(value: Any, arguments: Sequence[Argument], report: Report) -> bool:
    week = number_of(report.value(text_of(arguments[0]))) if arguments else float("nan")
    year = number_of(report.value(text_of(arguments[1]))) if len(arguments) > 1 else report.now.year
    if not (1 <= year <= 9998):
        return False
    weeks = datetime(int(year), 12, 28).isocalendar().week
    return 1 <= week <= weeks


def compares_days(value: Any, arguments: Sequence[Argument], report: Report, sign: int) -> bool:
    """`isAfter` (sign 1): by day, the value is at or after reported_date + d; `isBefore` (-1): at or before it - d."""
    zone = report.now.tzinfo
    span = parse_duration(first(arguments))
    if zone is None or span is None:
        return False
    moment, reported = moment_of(value, zone), moment_of(report.values.get("reported_date"), zone)
    limit = None if reported is None else add(reported, span, sign=sign)
    if moment is None or limit is None:
        return False
    return moment.date() >= limit.date() if sign > 0 else moment.date() <= limit.date()


FUNCTIONS: Mapping[str, Function] = {
    "equals": lambda value, arguments, report: bool(arguments) and loosely_equal(value, arguments[0]),
    "sequals": lambda value, arguments, report: bool(arguments) and strictly_equal(value, arguments[0]),
    "iequals": lambda value, arguments, report: bool(arguments) and loosely_equal(folded(value), folded(arguments[0])),
    "siequals": lambda value, arguments, report: (
        bool(arguments) and strictly_equal(folded(value), folded(arguments[0]))
    ),
    "equalsto": lambda value, arguments, report: (
        bool(arguments) and loosely_equal(value, report.value(text_of(arguments[0])))
    ),
    "lenmin": lambda value, arguments, report: length(value) >= number_of(first(arguments)),
    "lenmax": lambda value, arguments, report: length(value) <= number_of(first(arguments)),
    "lenequals": lambda value, arguments, report: len(text_of(value)) == number_of(first(arguments)),
    "min": lambda value, arguments, report: number_of(value) >= number_of(first(arguments)),
    "max": lambda value, arguments, report: number_of(value) <= number_of(first(arguments)),
    "between": lambda value, arguments, report: (
        len(arguments) > 1 and number_of(arguments[0]) <= number_of(value) <= number_of(arguments[1])
    ),
    "in": lambda value, arguments, report: any(loosely_equal(value, each) for each in arguments),
    "required": lambda value, arguments, report: scripting.truthy(value),
    "optional": lambda value, arguments, report: True,
    "numeric": lambda value, arguments, report: text_of(value).strip() != "" and abs(number_of(value)) < float("inf"),
    "integer": lambda value, arguments, report: is_whole(value),
    "alpha": fully("[A-Za-z]+"),
    "alphanumeric": fully("[A-Za-z0-9]+"),
    "email": fully(EMAIL),
    "isisoweek": is_iso_week,
    "isafter": lambda value, arguments, report: compares_days(value, arguments, report, 1),
    "isbefore": lambda value, arguments, report: compares_days(value, arguments, report, -1),
    "validphone": lambda value, arguments, report: report.phones.is_valid(
        text_of(report.value(text_of(arguments[0])) if arguments else value)
    ),
}
KNOWN = frozenset({*FUNCTIONS, *LOOKING_AROUND, "regex"})
