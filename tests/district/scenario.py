"""A district and what its health workers report, day by day: the same for the same seed, whatever goes wrong."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

Doc = dict[str, Any]

HOURS = (8, 12, 18)  # when messages come, on every day
VISIT_DAYS = (1, 2, 4, 8, 16)
CLINICS_OF_A_CENTER = 10

FIELDS: Doc = {"full_name": {"type": "string"}, "last_menstrual_period": {"type": "integer"}}
ABOUT: Doc = {"patient_id": {"type": "string"}, "note": {"type": "string"}}

TRANSITIONS = (
    "update_clinics",
    "registration",
    "accept_patient_reports",
    "generate_shortcode_on_contacts",
    "default_responses",
    "death_reporting",
    "conditional_alerts",
    "muting",
)

SETTINGS: Doc = {
    "locale": "en",
    "default_country_code": 254,
    "transitions": dict.fromkeys(TRANSITIONS, True),
    "default_responses": {"start_date": "2020-01-01"},
    "forms": {
        "PREG": {"meta": {"code": "PREG"}, "fields": FIELDS},
        **{code: {"meta": {"code": code}, "fields": ABOUT} for code in ("VISIT", "STOP", "GO", "DEATH")},
    },
    "registrations": [
        {
            "form": "PREG",
            "events": [
                {"name": "on_create", "trigger": "add_patient", "params": "full_name"},
                {"name": "on_create", "trigger": "add_expected_date"},
                {"name": "on_create", "trigger": "assign_schedule", "params": "ANC"},
            ],
            "validations": {"list": [{"property": "last_menstrual_period", "rule": "min(2) && max(42)"}]},
            "messages": [
                {
                    "event_type": "report_accepted",
                    "recipient": "reporting_unit",
                    "message": "Registered {{patient_name}} as {{patient_id}}",
                }
            ],
        }
    ],
    "patient_reports": [
        {
            "form": "VISIT",
            "silence_type": "ANC",
            "silence_for": "2 days",
            "messages": [{"event_type": "report_accepted", "message": "Visit of {{patient_name}}, {{note}}"}],
        }
    ],
    "muting": {
        "mute_forms": ["STOP"],
        "unmute_forms": ["GO"],
        "messages": [
            {"event_type": "mute", "message": "Stopped {{patient_name}}, {{note}}"},
            {"event_type": "unmute", "message": "Resumed {{patient_name}}, {{note}}"},
            {"event_type": "already_muted", "message": "Was stopped {{patient_name}}, {{note}}"},
            {"event_type": "already_unmuted", "message": "Was not stopped {{patient_name}}, {{note}}"},
        ],
    },
    "death_reporting": {"mark_deceased_forms": ["DEATH"]},
    "alerts": {
        "death": {
            "form": "DEATH",
            "condition": "true",
            "recipient": "+254700000001",
            "message": "Death of {{patient_name}}, {{note}}",
        }
    },
    "schedules": [
        {
            "name": "ANC",
            "start_from": "reported_date",
            "translation_key": "anc",
            "messages": [
                {
                    "group": number,
                    "offset": f"{days} days",
                    "send_time": "10:00",
                    "translation_key": f"anc.{days}",
                    "recipient": "reporting_unit",
                }
                for number, days in enumerate(VISIT_DAYS, start=1)
            ],
        }
    ],
}

TEXTS = {f"anc.{days}": f"Visit {{{{patient_name}}}} on day {days}" for days in VISIT_DAYS}


@dataclass(frozen=True)
class Message:
    """What a worker reports at one moment: an SMS, or a document made by the app on the phone."""

    sms: tuple[str, str, str] | None = None  # id, from, content
    doc: Doc | None = None


@dataclass
class Worker:
    """`activity` is the chance of a report at each moment; `patients` are those whose code it was told, by name."""

    number: int
    chance: random.Random
    activity: float
    patients: dict[str, str] = field(default_factory=dict)
    stopped: set[str] = field(default_factory=set)
    registered: int = 0

    @property
    def phone(self) -> str:
        return f"+2547120{self.number:05}"

    @property
    def clinic(self) -> Doc:
        center = {"_id": f"center-{self.number // CLINICS_OF_A_CENTER}", "parent": {"_id": "district"}}
        return {"_id": f"clinic-{self.number}", "parent": center}

    def report(self, day: int, hour: int, reported_ms: int) -> Message | None:
        """At most one report at each moment, about what the worker knows by then."""
        if self.chance.random() >= self.activity:
            return None
        what = self.chance.random()
        note = f"d{day}h{hour}"
        doc_id = f"w{self.number}-{note}"
        if what < 0.50 or not self.patients:
            self.registered += 1
            name = f"Mother{self.number}x{self.registered}"
            weeks = self.chance.randint(1, 43)  # some are not accepted
            if self.chance.random() < 0.4:
                return Message(doc=self.app_report(doc_id, reported_ms, "PREG", name, weeks))
            return self.sms(doc_id, f"PREG {name} {weeks}")
        if what < 0.72:
            return self.about(doc_id, "VISIT", self.chance.choice(sorted(self.patients)), note)
        if what < 0.86:
            name = self.chance.choice(sorted(self.patients))
            form = "GO" if name in self.stopped else "STOP"
            self.stopped ^= {name}
            return self.about(doc_id, form, name, note)
        if what < 0.90:
            return self.about(doc_id, "DEATH", self.chance.choice(sorted(self.patients)), note)
        if what < 0.95:
            return self.sms(doc_id, f"how are you {note}")
        person = {"_id": f"person-{doc_id}", "type": "person", "name": f"Neighbour {doc_id}"}
        return Message(doc={**person, "reported_date": reported_ms, "parent": self.clinic})

    def sms(self, message_id: str, content: str) -> Message:
        return Message(sms=(message_id, self.phone, content))

    def about(self, message_id: str, form: str, name: str, note: str) -> Message:
        return self.sms(message_id, f"{form} {self.patients[name]} {note}")

    def app_report(self, doc_id: str, reported_ms: int, form: str, name: str, weeks: int) -> Doc:
        return {
            "_id": f"report-{doc_id}",
            "type": "data_record",
            "content_type": "xml",
            "form": form,
            "from": self.phone,
            "reported_date": reported_ms,
            "contact": {"_id": f"chw-{self.number}", "parent": self.clinic},
            "fields": {"full_name": name, "last_menstrual_period": weeks},
        }


def workers(count: int, activity: float, seed: int) -> list[Worker]:
    return [Worker(number, random.Random(f"{seed} {number}"), activity) for number in range(count)]


def contacts(workers: Iterable[Worker]) -> list[Doc]:
    """A district with a clinic for every worker."""
    docs: dict[str, Doc] = {}

    def add(doc_id: str, kind: str, **members: Any) -> None:
        docs[doc_id] = {"_id": doc_id, "type": kind, "name": doc_id, "reported_date": 1, **members}

    add("district", "district_hospital", place_id="district")
    for worker in workers:
        clinic = worker.clinic
        center = clinic["parent"]
        add(center["_id"], "health_center", parent=center["parent"], place_id=center["_id"])
        add(clinic["_id"], "clinic", parent=center, place_id=clinic["_id"])
        person = f"chw-{worker.number}"
        add(person, "person", parent=clinic, phone=worker.phone, patient_id=person)
    return list(docs.values())
