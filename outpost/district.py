"""The sample district of `outpost demo`: settings, places, people, forms, accounts and messages, as plain data."""

from __future__ import annotations

from typing import Any

from core.settings import DEFAULT_PERMISSIONS, DEFAULT_ROLES

Doc = dict[str, Any]

PASSWORD = "Blue-kite-77"
DISTRICT = "demo-district"

FAMILY_NAMES = ("Odera", "Wanjiru", "Kamau", "Achieng", "Mutua", "Njeri")
GIVEN_NAMES = ("Neema", "Baraka", "Zawadi", "Juma", "Halima")

SETTINGS: Doc = {
    "locale": "en",
    "locale_outgoing": "en",
    "default_country_code": 254,
    "roles": DEFAULT_ROLES,
    "permissions": {
        **{name: list(roles) for name, roles in DEFAULT_PERMISSIONS.items()},
        "can_update_people": ["program_officer", "chw_supervisor", "chw"],
        "can_update_places": ["program_officer", "chw_supervisor"],
    },
    "replication_depth": [{"role": "chw_supervisor", "depth": 2}],
    "sms": {"outgoing_service": "medic-gateway"},
    "transitions": {
        "update_clinics": True,
        "registration": True,
        "generate_shortcode_on_contacts": True,
        "default_responses": True,
    },
    "default_responses": {"start_date": "2020-01-01"},
    "forms": {
        "P": {
            "meta": {"code": "P", "label": {"en": "New patient"}},
            "public_form": False,
            "fields": {
                "patient_name": {
                    "labels": {"tiny": {"en": "N"}, "short": {"en": "Name"}},
                    "position": 0,
                    "type": "string",
                    "length": [2, 60],
                    "required": True,
                },
            },
        },
        "V": {
            "meta": {"code": "V", "label": {"en": "Visit"}},
            "public_form": False,
            "fields": {
                "patient_id": {
                    "labels": {"tiny": {"en": "ID"}, "short": {"en": "Patient ID"}},
                    "position": 0,
                    "type": "string",
                    "length": [5, 13],
                    "required": True,
                },
                "note": {
                    "labels": {"tiny": {"en": "T"}, "short": {"en": "Note"}},
                    "position": 1,
                    "type": "string",
                },
            },
        },
    },
    "registrations": [
        {
            "form": "P",
            "events": [
                {"name": "on_create", "trigger": "add_patient", "params": "", "bool_expr": ""},
                {"name": "on_create", "trigger": "assign_schedule", "params": "Follow-up", "bool_expr": ""},
            ],
            "validations": {
                "join_responses": True,
                "list": [
                    {
                        "property": "patient_name",
                        "rule": "lenMin(2) && lenMax(60)",
                        "message": [{"locale": "en", "content": "The name must have 2 to 60 letters."}],
                    }
                ],
            },
            "messages": [
                {
                    "event_type": "report_accepted",
                    "recipient": "reporting_unit",
                    "message": [
                        {
                            "locale": "en",
                            "content": "Thank you {{contact.name}}. {{patient_name}} has the ID {{patient_id}}.",
                        }
                    ],
                }
            ],
        }
    ],
    "schedules": [
        {
            "name": "Follow-up",
            "start_from": "reported_date",
            "messages": [
                {
                    "group": 1,
                    "offset": "7 days",
                    "send_time": "09:00",
                    "recipient": "reporting_unit",
                    "message": [
                        {
                            "locale": "en",
                            "content": "Please visit {{patient_name}} today, then send V {{patient_id}}.",
                        }
                    ],
                }
            ],
        }
    ],
}

HOME_VISIT: Doc = {
    "_id": "form:home_visit",
    "type": "form",
    "internalId": "home_visit",
    "title": "Home visit",
    "context": {"person": True, "place": False, "collect": True},
}

USERS: tuple[Doc, ...] = (
    {
        "username": "asha",
        "password": PASSWORD,
        "roles": ["chw"],
        "place": "demo-health-center-1",
        "contact": "demo-chw-1",
        "fullname": "Asha Otieno",
    },
    {
        "username": "sue",
        "password": PASSWORD,
        "roles": ["chw_supervisor"],
        "place": DISTRICT,
        "contact": "demo-supervisor",
        "fullname": "Sue Wekesa",
    },
    {"username": "gateway", "password": PASSWORD, "roles": ["gateway"]},
)

CHW_PHONE = "+254711000101"

MESSAGES: tuple[Doc, ...] = (
    {"id": "demo-sms-1", "from": CHW_PHONE, "content": "P Mary Atieno"},
    {"id": "demo-sms-2", "from": CHW_PHONE, "content": "P X"},
    {"id": "demo-sms-3", "from": "+254711000999", "content": "When is the clinic open?"},
)


def contacts(now_ms: int) -> list[Doc]:
    """A district, two health centers with a health worker each, six clinics, and forty people in all."""
    supervisor = person("demo-supervisor", "Sue Wekesa", [DISTRICT], now_ms, phone="+254711000100")
    docs = [place(DISTRICT, "district_hospital", "Busia District", [], now_ms, supervisor), supervisor]
    for center in (1, 2):
        center_id = f"demo-health-center-{center}"
        worker_name = ("Asha Otieno", "Bahati Mwangi")[center - 1]
        lineage = [center_id, DISTRICT]
        worker = person(f"demo-chw-{center}", worker_name, lineage, now_ms, phone=f"+25471100010{center}")
        docs += [place(center_id, "health_center", f"{worker_name}'s Area", [DISTRICT], now_ms, worker), worker]
    for clinic in range(1, 7):
        docs += household(clinic, now_ms)
    return docs


def household(number: int, now_ms: int) -> list[Doc]:
    """A clinic with its people: seven in the first, six in each of the other five."""
    clinic_id = f"demo-clinic-{number}"
    center_id = f"demo-health-center-{1 if number <= 3 else 2}"
    family = FAMILY_NAMES[number - 1]
    lineage = [clinic_id, center_id, DISTRICT]
    people = [
        person(f"demo-person-{number}-{member}", f"{given_name(member)} {family}", lineage, now_ms)
        for member in range(1, 8 if number == 1 else 7)
    ]
    return [place(clinic_id, "clinic", f"{family} Household", [center_id, DISTRICT], now_ms, people[0]), *people]


def given_name(member: int) -> str:
    return GIVEN_NAMES[(member - 1) % len(GIVEN_NAMES)] + ("" if member <= len(GIVEN_NAMES) else " II")


def person(doc_id: str, name: str, ancestors: list[str], now_ms: int, **members: Any) -> Doc:
    doc = {"_id": doc_id, "type": "person", "name": name, "parent": lineage_of(ancestors), "reported_date": now_ms}
    return {**doc, **members}


def place(doc_id: str, kind: str, name: str, ancestors: list[str], now_ms: int, contact: Doc) -> Doc:
    doc = {"_id": doc_id, "type": kind, "name": name, "reported_date": now_ms}
    doc["contact"] = {"_id": contact["_id"], "parent": contact["parent"]}
    return {**doc, "parent": lineage_of(ancestors)} if ancestors else doc


def lineage_of(ancestors: list[str]) -> Doc:
    """The minified `parent` of ids from the nearest up."""
    rest = ancestors[1:]
    return {"_id": ancestors[0], "parent": lineage_of(rest)} if rest else {"_id": ancestors[0]}
