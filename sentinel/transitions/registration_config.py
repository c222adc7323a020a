"""Read `settings.registrations`, refusing what could only fail later, report by report (40 TR-REG-2, 3)."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from core.errors import InvalidInput
from core.settings import Settings
from sentinel.transitions.answers import ReportConfig, read_report_config
from sentinel.transitions.conditions import form_key
from sentinel.transitions.created_contacts import NewContact

log = logging.getLogger(__name__)

TRIGGERS = (
    "add_patient",
    "add_patient_id",
    "add_place",
    "add_case",
    "add_expected_date",
    "add_birth_date",
    "assign_schedule",
    "clear_schedule",
)


@dataclass(frozen=True)
class Event:
    """One thing to do on registration. `names` are the schedules or task types, `contact` what is to be created."""

    trigger: str
    bool_expr: str
    names: tuple[str, ...] = ()
    contact: NewContact | None = None


@dataclass(frozen=True)
class Registration(ReportConfig):
    """One entry of the settings."""

    events: tuple[Event, ...]

    @property
    def provided_id_fields(self) -> list[str]:
        return [
            str(event.contact.params["patient_id_field"])
            for event in self.events
            if event.contact and event.contact.params.get("patient_id_field")
        ]


def read_registrations(settings: Settings) -> tuple[Registration, ...]:
    """All entries, in order. InvalidInput names the entry and what is wrong with it."""
    return tuple(
        read_registration(entry, f"registrations[{index}]", settings)
        for index, entry in enumerate(settings.entries("registrations"))
    )


def read_registration(entry: Mapping[str, Any], where: str, settings: Settings) -> Registration:
    events = entry.get("events")
    if events is not None and not isinstance(events, list):
        raise InvalidInput(f"{where}.events: expected a list")
    checked = read_report_config(entry, where)
    return Registration(
        form=form_key(entry.get("form")),
        rules=checked.rules,
        join_responses=checked.join_responses,
        config=entry,
        events=tuple(
            read_event(event, number, f"{where}.events[{number}]", settings)
            for number, event in enumerate(events or ())
            if isinstance(event, dict) and event.get("name") == "on_create" and is_known(event, where, number)
        ),
    )


def is_known(event: Mapping[str, Any], where: str, number: int) -> bool:
    """Whether we know what to do; an event of an unknown trigger does nothing (TR-REG-6)."""
    trigger = event.get("trigger")
    if trigger not in TRIGGERS:
        known = ", ".join(TRIGGERS)
        log.warning("%s.events[%d].trigger: %r is none of %s, and does nothing", where, number, trigger, known)
    return trigger in TRIGGERS


def read_event(event: Mapping[str, Any], number: int, where: str, settings: Settings) -> Event:
    trigger = event.get("trigger")
    params = read_params(event.get("params"), where)
    bool_expr = str(event.get("bool_expr") or "").strip()
    if trigger in ("add_patient", "add_patient_id"):
        return Event("add_patient", bool_expr, contact=read_person(params, number, where, settings))
    if trigger == "add_place":
        return Event(trigger, bool_expr, contact=read_place(params, number, where, settings))
    if trigger in ("assign_schedule", "clear_schedule"):
        if not isinstance(params, list) or not params:
            raise InvalidInput(f"{where}.params: {trigger} expects a list of names")
        return Event(trigger, bool_expr, names=tuple(str(each) for each in params))
    return Event(str(trigger), bool_expr)


def read_params(params: Any, where: str) -> Mapping[str, Any] | Sequence[Any]:
    """An object as it is, JSON text, or names between commas (TR-REG-2)."""
    if params is None or params == "":
        return {}
    if isinstance(params, str):
        text = params.strip()
        if not text.startswith(("{", "[")):
            return params.split(",")
        try:
            params = orjson.loads(text)
        except orjson.JSONDecodeError as error:
            raise InvalidInput(f"{where}.params: {params!r} is not JSON") from error
    if not isinstance(params, dict | list):
        raise InvalidInput(f"{where}.params: expected an object, a list or text")
    return params


def read_person(params: Any, number: int, where: str, settings: Settings) -> NewContact:
    named = params if isinstance(params, dict) else {}
    if named.get("patient_id_field") == "patient_id":
        raise InvalidInput(f"{where}.params.patient_id_field: must be another field than `patient_id`")
    type_id = str(named.get("contact_type") or "person")
    kind = settings.contact_types.get(type_id)
    if kind is None or not (kind.person or kind.id == "person"):
        raise InvalidInput(f"{where}.params.contact_type: {type_id!r} is not a person type of `contact_types`")
    name_field = params[0] if isinstance(params, list) and params else named.get("patient_name_field")
    return NewContact(number, kind, "patient", "patient_id", str(name_field or "patient_name"), named)


def read_place(params: Any, number: int, where: str, settings: Settings) -> NewContact:
    named = params if isinstance(params, dict) else {}
    type_id = named.get("contact_type")
    kind = settings.contact_types.get(str(type_id))
    if kind is None or kind.person or kind.id == "person":
        raise InvalidInput(f"{where}.params.contact_type: {type_id!r} is not a place type of `contact_types`")
    return NewContact(number, kind, "place", "place_id", str(named.get("place_name_field") or "place_name"), named)
