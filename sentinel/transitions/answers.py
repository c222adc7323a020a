"""What report transitions share: the validations of a form, its subjects' registrations, and the configured answers."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from core.documents import Doc, subject_ids
from core.messages import MessageContext
from core.scripting import ScriptError, evaluate_all, truthy
from core.settings import Settings
from core.validation import Rule, compile_rules, validate
from sentinel.transitions.change import Change
from sentinel.transitions.derived import once
from sentinel.transitions.lookups import Lookups
from sentinel.transitions.tools import Tools

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ReportConfig:
    """How the settings want reports of one form checked and answered; `config` is the entry itself."""

    form: str | None
    rules: tuple[Rule, ...]
    join_responses: bool
    config: Mapping[str, Any]


def read_report_config(entry: Mapping[str, Any], where: str, form: str | None = None) -> ReportConfig:
    """One entry of the settings. InvalidInput names the rule that is not in the language."""
    validations = entry.get("validations")
    validations = validations if isinstance(validations, dict) else {}
    named = entry.get("form")
    return ReportConfig(
        form=form or (named if isinstance(named, str) else None),
        rules=compile_rules(validations.get("list"), f"{where}.validations.list"),
        join_responses=bool(validations.get("join_responses")),
        config=entry,
    )


def read_report_configs(settings: Settings, name: str) -> dict[str, ReportConfig]:
    """The entries of a list of the settings by their form; of several for one form the first is used."""
    read = [read_report_config(entry, f"{name}[{index}]") for index, entry in enumerate(settings.entries(name))]
    return {each.form: each for each in reversed(read) if each.form}


async def is_invalid(change: Change, report: ReportConfig, name: str, lookups: Lookups, tools: Tools) -> bool:
    """Whether a validation failed; then its errors are noted and the sender is told (MSG-14)."""
    messenger, doc = tools.messenger, change.doc
    errors = await validate(
        doc,
        report.rules,
        lookups=lookups,
        phones=tools.phones,
        text=lambda entry: messenger.source_text(doc, entry) or None,
        now=tools.now(),
    )
    if errors:
        context = await context_of(change, lookups)
        once(
            doc,
            lambda: messenger.answer_invalid(doc, errors, context, join_responses=report.join_responses),
            name,
            "invalid",
        )
    return bool(errors)


async def context_of(change: Change, lookups: Lookups, **names: Any) -> MessageContext:
    """The subjects of the report and what was registered about them before; `names` are for templates alone."""
    patient, place = change.doc.get("patient"), change.doc.get("place")
    return MessageContext(
        patient=patient,
        registrations=await registrations_about(change, patient, lookups),
        place=place,
        place_registrations=await registrations_about(change, place, lookups),
        template_context=names,
    )


async def registrations_about(change: Change, contact: Doc | None, lookups: Lookups) -> list[Doc]:
    """A contact that this report creates has none yet."""
    if not contact or contact["_id"] in change.others:
        return []
    return await lookups.registrations(subject_ids(contact))


def messages_for(config: Mapping[str, Any], events: Collection[Any]) -> list[tuple[int, Mapping[str, Any]]]:
    """The configured messages of those event types, with their place in the list."""
    messages = config.get("messages")
    return [
        (number, message)
        for number, message in enumerate(messages if isinstance(messages, list) else ())
        if isinstance(message, dict) and (message.get("event_type") or None) in events
    ]


async def add_messages(
    change: Change,
    messages: Sequence[tuple[int, Mapping[str, Any]]],
    name: str,
    context: MessageContext,
    tools: Tools,
) -> None:
    """Add those whose `bool_expr`, if there is one, is true of the report."""
    expressions = [str(message.get("bool_expr") or "").strip() for _, message in messages]
    holds = await evaluate_conditions(expressions, change.doc, change.id)
    for (number, message), is_wanted in zip(messages, holds, strict=True):
        if is_wanted:
            add_message(change.doc, message, name, number, context, tools)


def add_message(
    doc: Doc, message: Mapping[str, Any], name: str, number: int, context: MessageContext, tools: Tools
) -> None:
    recipient = message.get("recipient") or "reporting_unit"
    once(doc, lambda: tools.messenger.add_message(doc, message, recipient, context), name, "message", number)


async def reject(
    change: Change, config: Mapping[str, Any], name: str, event: str, lookups: Lookups, tools: Tools, **names: Any
) -> None:
    """Tell the sender what is wrong and note it (TRN-17)."""
    context = await context_of(change, lookups, **names)
    doc, messenger = change.doc, tools.messenger
    once(doc, lambda: messenger.reject(doc, config, event, context), name, event)


async def evaluate_conditions(expressions: Sequence[str], doc: Doc, doc_id: str) -> list[bool]:
    """Whether each expression is true of `doc`: an empty one is, one that throws is not."""
    values = iter(await evaluate_all([each for each in expressions if each], {"doc": doc}))
    results = []
    for expression in expressions:
        value = next(values) if expression else True
        if isinstance(value, ScriptError):
            log.warning("expression %r on %s: %s", expression, doc_id, value.message)
        results.append(not isinstance(value, ScriptError) and truthy(value))
    return results
