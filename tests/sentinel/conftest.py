"""A small district with a settable clock, and a worker's core that is driven change by change."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from core.couch.changes import change_of
from core.couch.client import Database, Doc
from core.dates import local_zone, ms_of
from core.messages import DuplicateGuard
from core.settings import Settings
from core.translations import load_translations
from sentinel.processor import Processor
from sentinel.retries import Retries
from sentinel.schedule.due_messages import send_due
from sentinel.transitions import Transitions, load, make_tools

CHW_PHONE = "+254712345678"


class Clock:
    """The time of a test; it stands still until it is moved."""

    def __init__(self) -> None:
        self.moment = datetime(2031, 11, 22, 10, 0, tzinfo=local_zone())

    def __call__(self) -> datetime:
        return self.moment

    def move(self, **span: float) -> None:
        self.moment += timedelta(**span)

    @property
    def ms(self) -> int:
        return ms_of(self.moment)


DISTRICT: list[Doc] = [
    {"_id": "d1", "type": "district_hospital", "name": "District", "contact": {"_id": "boss"}},
    {"_id": "boss", "type": "person", "name": "Bo", "phone": "+254700000001", "parent": {"_id": "d1"}},
    {"_id": "h1", "type": "health_center", "name": "Center", "place_id": "80001", "parent": {"_id": "d1"}},
    {"_id": "c1", "type": "clinic", "name": "Clinic", "place_id": "90001", "rc_code": "ABC"}
    | {"parent": {"_id": "h1", "parent": {"_id": "d1"}}, "contact": {"_id": "mum"}},
    {"_id": "mum", "type": "person", "name": "Mum", "phone": "+254700000003", "patient_id": "50001"}
    | {"parent": {"_id": "c1", "parent": {"_id": "h1", "parent": {"_id": "d1"}}}},
    {"_id": "chw", "type": "person", "name": "Bea", "phone": CHW_PHONE, "patient_id": "50002"}
    | {"parent": {"_id": "c1", "parent": {"_id": "h1", "parent": {"_id": "d1"}}}},
]

FIELDS: Doc = {
    "full_name": {"type": "string", "labels": {"tiny": "N"}},
    "last_menstrual_period": {"type": "integer", "labels": {"tiny": "LMP"}},
}

SETTINGS: Doc = {
    "locale": "en",
    "default_country_code": 254,
    "date_format": "DD-MMM-YYYY",
    "transitions": {"update_clinics": True, "registration": True, "default_responses": True},
    "forms": {
        "PREG": {"meta": {"code": "PREG"}, "fields": FIELDS},
        "FORM": {"meta": {"code": "FORM"}, "fields": FIELDS},
        "PUB": {"meta": {"code": "PUB"}, "public_form": True, "fields": FIELDS},
    },
    "registrations": [
        {
            "form": "PREG",
            "events": [
                {"name": "on_create", "trigger": "add_patient", "params": "full_name"},
                {"name": "on_create", "trigger": "add_expected_date"},
                {"name": "on_create", "trigger": "assign_schedule", "params": "ANC"},
            ],
            "messages": [
                {
                    "event_type": "report_accepted",
                    "recipient": "reporting_unit",
                    "message": "Registered {{patient_name}} as {{patient_id}}",
                }
            ],
        }
    ],
    "schedules": [
        {
            "name": "ANC",
            "start_from": "lmp_date",
            "translation_key": "schedule.anc",
            "messages": [
                {"group": 1, "offset": "20 weeks", "translation_key": "anc.visit", "recipient": "reporting_unit"},
                {"group": 2, "offset": "30 weeks", "message": "Third visit of {{patient_name}}"},
            ],
        }
    ],
}


class Deployment:
    """Settings and documents in a CouchDB, and what the worker does with their changes."""

    def __init__(self, db: Database, sentinel_db: Database, clock: Clock) -> None:
        self.db = db
        self.sentinel_db = sentinel_db
        self.clock = clock
        self.duplicates = DuplicateGuard(clock)
        self.position: str | int = 0
        self.retries = Retries(sentinel_db, clock)

    async def configure(self, **values: Any) -> None:
        """Set members of the settings."""

        def change(doc: Doc | None) -> Doc:
            doc = doc or {}
            return {**doc, "settings": {**doc.get("settings", {}), **values}}

        await self.db.update("settings", change)

    async def transitions(self) -> Transitions:
        settings = Settings.from_doc(await self.db.get("settings"))
        tools = make_tools(settings, await load_translations(self.db), self.clock, self.duplicates)
        return load(settings, tools)

    def processor(self, db: Database | None = None, **options: Any) -> Processor:
        return Processor(db or self.db, self.sentinel_db, self.retries, now=self.clock, **options)

    async def store(self, *docs: Doc) -> None:
        rows = await self.db.bulk_docs([{"reported_date": self.clock.ms, **doc} for doc in docs])
        assert all("error" not in row for row in rows), rows

    async def process(self, *, processor: Processor | None = None) -> int:
        """Process the feed from the last position to its end; how many changes there were."""
        processed = 0
        while True:
            answer = await self.db.changes(self.position)
            if not answer["results"]:
                return processed
            feed = [change_of(row) for row in answer["results"]]
            await (processor or self.processor()).process(feed, await self.transitions())
            self.position = answer["last_seq"]
            processed += len(feed)

    async def processed(self, doc: Doc) -> Doc:
        """Store one document, process it, and give its result."""
        await self.store(doc)
        await self.process()
        return await self.db.get(doc["_id"])

    async def send_due(self) -> int:
        return await send_due(self.db, (await self.transitions()).tools)

    async def info(self, doc_id: str) -> Doc:
        return await self.sentinel_db.get(f"{doc_id}-info")

    async def created_by(self, report_id: str) -> list[Doc]:
        """The contacts that a report created."""
        rows = await self.db.all_docs(include_docs=True)
        return [row["doc"] for row in rows if row["doc"].get("source_id") == report_id]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def deployment(db: Database, sentinel_db: Database, clock: Clock) -> Deployment:
    """The district under its settings, all of it processed already."""
    deployment = Deployment(db, sentinel_db, clock)
    await deployment.configure(**SETTINGS)
    await db.update("messages-en", lambda doc: {**(doc or {}), "custom": {"anc.visit": "Visit for {{patient_name}}"}})
    await deployment.store(*DISTRICT)
    await deployment.process()
    return deployment


@pytest.fixture
def preg(clock: Clock) -> Callable[..., Doc]:
    """`preg("r1", name="Asha", weeks=12)`: a registration as the API stores it from an SMS."""

    def make(doc_id: str, name: str = "Asha", weeks: int = 12, sender: str = CHW_PHONE, **members: Any) -> Doc:
        fields = {"full_name": name, "last_menstrual_period": weeks}
        return {
            "_id": doc_id,
            "type": "data_record",
            "form": "PREG",
            "from": sender,
            "fields": fields,
            "errors": [],
            "tasks": [],
            "sms_message": {"type": "sms_message", "message": f"PREG {name} {weeks}", "from": sender},
            **members,
        }

    return make


def texts(doc: Doc) -> list[str]:
    """What a document says to whom, of the tasks to send now."""
    return [message.get("message") for task in doc.get("tasks") or [] for message in task["messages"]]


def codes(doc: Doc) -> list[str]:
    return [error["code"] for error in doc.get("errors") or []]
