"""What must be true of a district after all: everything once, and nothing that shows what it went through."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

import orjson

from core.sms_tasks import messages_of, tasks_of
from tests.district.simulation import Outcome

Doc = dict[str, Any]

DEFAULTS = ("settings", "messages-", "shortcode-id-length", "service-worker-meta", "branding", "partners", "resources")
# Chance and the number of writes decide these. When an infodoc was first written is a race of two writers.
BY_CHANCE = frozenset({"_rev", "uuid", "last_rev", "seq", "initial_replication_date", "latest_replication_date"})
WITHIN_THE_HOUR = re.compile(r"(\d{4}-\d\d-\d\dT\d\d):\d\d:\d\d\.\d{3}Z")
LEAST_MS = 10**12
HOUR_MS = 3_600_000
CODE = re.compile(r"(?<![\w-])\d{5,13}(?![\w-])")


def comparable(outcome: Outcome) -> dict[str, Doc]:
    """All documents, without what chance decides, short codes named by whom they stand for, times by their hour."""
    owners = {
        code: doc["_id"]
        for doc in outcome.docs.values()
        if doc.get("type") in ("person", "clinic") and (code := doc.get("patient_id") or doc.get("place_id"))
    }

    def named(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: named(each) for name, each in value.items() if name not in BY_CHANCE}
        if isinstance(value, list):
            return [named(each) for each in value]
        if isinstance(value, str):
            text = CODE.sub(lambda found: f"<{owners[found[0]]}>" if found[0] in owners else found[0], value)
            return WITHIN_THE_HOUR.sub(r"\1", text)
        if isinstance(value, int) and value > LEAST_MS:
            return value // HOUR_MS
        return value

    kept = {doc_id: doc for doc_id, doc in outcome.docs.items() if not doc_id.startswith(DEFAULTS)}
    kept |= {doc_id: doc for doc_id, doc in outcome.infos.items() if not doc_id.startswith(DEFAULTS)}
    return {doc_id: named(doc) for doc_id, doc in kept.items()}


def differences(found: dict[str, Doc], expected: dict[str, Doc]) -> list[str]:
    """What is not equal, a line for each document."""
    lines = [f"{doc_id}: missing" for doc_id in expected.keys() - found.keys()]
    lines += [f"{doc_id}: should not be there" for doc_id in found.keys() - expected.keys()]
    for doc_id in sorted(expected.keys() & found.keys()):
        names = {*found[doc_id], *expected[doc_id]}
        for name in sorted(names):
            have, want = found[doc_id].get(name), expected[doc_id].get(name)
            if have != want:
                lines.append(f"{doc_id}.{name}: {orjson.dumps(have).decode()} and not {orjson.dumps(want).decode()}")
    return lines


def repeated_messages(outcome: Outcome) -> list[Any]:
    """Messages of the same words to the same number at the same moment: every text names its patient and its step."""
    return [entry for entry, count in Counter(outcome.messages).items() if count > 1]


def repeated_registrations(outcome: Outcome) -> list[Any]:
    """People of one name, or from one report: every registration has a name of its own."""
    people = [doc for doc in outcome.docs.values() if doc.get("type") == "person"]
    names = Counter(doc["name"] for doc in people)
    sources = Counter(doc["source_id"] for doc in people if doc.get("source_id"))
    codes = Counter(doc["patient_id"] for doc in people)
    return [entry for counter in (names, sources, codes) for entry, count in counter.items() if count > 1]


def undelivered(outcome: Outcome) -> list[str]:
    """Messages that a document holds as said and the gateway never had, or that it had and no document tells of."""
    said = {
        message["uuid"]
        for doc in outcome.docs.values()
        for task in tasks_of(doc)
        if task.get("state") == "delivered"
        for message in messages_of(task)
    }
    return sorted(said ^ set(outcome.ids))


def faults(disturbed: Outcome, quiet: Outcome) -> list[str]:
    """Everything that is not as it has to be, a line for each; nothing when all is well."""
    return [
        *(f"sent more than once: {entry}" for entry in repeated_messages(disturbed)),
        *(f"registered more than once: {entry}" for entry in repeated_registrations(disturbed)),
        *(f"said and not sent, or sent and not said: {entry}" for entry in undelivered(disturbed)),
        *differences(comparable(disturbed), comparable(quiet)),
    ]
