"""What would stop working with new settings: their own members, and the transitions they configure (65 CONF-55)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from core.errors import InvalidInput
from core.settings import Settings
from core.settings_check import Problem, problems_of
from core.translations import Translations
from sentinel.transitions import Transitions, load, make_tools

# 40 TRN-19
DEPRECATED = {
    "update_notifications": ("3.2.x", "muting"),
    "generate_patient_id_on_people": ("3.8.x", "generate_shortcode_on_contacts"),
}


class InvalidSettings(InvalidInput):
    """The settings would not work; `problems` says where."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__(f"The settings cannot work: {problems[0]['path']} must be {problems[0]['expected']}")
        self.problems = problems


def check_settings(values: Mapping[str, Any], stored: Mapping[str, Any]) -> None:
    """InvalidSettings for what cannot work, unless it is stored already: other changes must go on."""
    problems = all_problems(values)
    known = all_problems(stored) if problems else []
    new = [problem for problem in problems if problem not in known]
    if new:
        raise InvalidSettings(new)


def all_problems(values: Mapping[str, Any]) -> list[Problem]:
    return [*problems_of(values), *problems_of_transitions(values)]


def problems_of_transitions(values: Mapping[str, Any]) -> list[Problem]:
    """The transitions that the worker could not load, each tried by itself (40 SEN-16)."""
    configured = values.get("transitions")
    problems: list[Problem] = []
    for name, value in configured.items() if isinstance(configured, dict) else ():
        try:
            load_one(values, name, value)
        except InvalidInput as error:
            problems.append(
                {"path": f"transitions.{name}", "expected": f"a transition that can be loaded: {error.message}"}
            )
    return problems


def load_one(values: Mapping[str, Any], name: str, value: Any) -> Transitions:
    settings = Settings({**values, "transitions": {name: value}})
    return load(settings, make_tools(settings, Translations(), lambda: datetime.now(UTC)))


def deprecated_transitions(values: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The enabled transitions that have been replaced by others (30 EP-SET-12)."""
    configured = values.get("transitions")
    names = [name for name, value in configured.items() if is_enabled(value)] if isinstance(configured, dict) else []
    return [
        {
            "name": name,
            "deprecated": True,
            "deprecatedIn": DEPRECATED[name][0],
            "deprecationMessage": f"Use the transition {DEPRECATED[name][1]} instead of {name}.",
        }
        for name in names
        if name in DEPRECATED
    ]


def is_enabled(value: Any) -> bool:
    return not value.get("disable") if isinstance(value, dict) else bool(value)
