"""The JavaScript of the settings that the engine cannot read, found before it is stored (40 JSX-1)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from core.scripting import syntax_errors

# What configures answers to reports, with conditions of its messages.
ANSWERED = ("registrations", "patient_reports", "accept_case_reports")


def unreadable_scripts(values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The path of each, and what should stand there."""
    scripts = [(path, source) for path, source in scripts_of(values) if isinstance(source, str) and source.strip()]
    for (path, _), error in zip(scripts, syntax_errors([source for _, source in scripts]), strict=True):
        if error is not None:
            yield path, f"JavaScript: {error}"


def scripts_of(values: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Everything that is run on the server."""
    for name in ANSWERED:
        for path, entry in objects(values.get(name), name):
            for part in ("events", "messages"):
                for at, each in objects(entry.get(part), f"{path}.{part}"):
                    yield f"{at}.bool_expr", each.get("bool_expr")
    for path, alert in objects(values.get("alerts"), "alerts"):
        yield f"{path}.condition", alert.get("condition")
    for path, alert in objects(values.get("multi_report_alerts"), "multi_report_alerts"):
        yield f"{path}.is_report_counted", alert.get("is_report_counted")
        recipients = alert.get("recipients")
        for index, recipient in enumerate(recipients if isinstance(recipients, list) else ()):
            if not str(recipient).startswith("+"):
                yield f"{path}.recipients[{index}]", recipient
    for path, push in objects(values.get("outbound"), "outbound"):
        yield f"{path}.relevant_to", push.get("relevant_to")
        for at, rule in objects(push.get("mapping"), f"{path}.mapping"):
            yield f"{at}.expr", rule.get("expr")
    purge = values.get("purge")
    if isinstance(purge, dict):
        yield "purge.fn", purge.get("fn")


def objects(section: Any, path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The objects in a list or an object, each with its path."""
    if isinstance(section, dict):
        named = [(f"{path}.{name}", each) for name, each in section.items()]
    else:
        named = [(f"{path}[{at}]", each) for at, each in enumerate(section if isinstance(section, list) else ())]
    yield from ((at, each) for at, each in named if isinstance(each, dict))
