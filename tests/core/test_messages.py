"""Messages, replies and errors written into documents (40 §6, TRN-9, TRN-17)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from core.messages import DuplicateGuard, MessageContext, Messenger
from core.settings import Settings
from core.translations import Translations
from tests.core.test_recipients import ASHA, REPORT

pytestmark = pytest.mark.usefixtures("utc")

NOW = datetime(2031, 2, 3, 8, tzinfo=UTC)
STAMP = "2031-02-03T08:00:00.000Z"


class Clock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


def messenger(texts: dict[str, dict[str, str]] | None = None, clock: Clock | None = None, **settings: Any) -> Messenger:
    time = clock or Clock()
    return Messenger(Settings(settings), Translations(texts or {}), time, DuplicateGuard(time))


def report(**members: Any) -> dict[str, Any]:
    return {**REPORT, "tasks": [], "errors": [], **members}


def states(doc: dict[str, Any]) -> list[str]:
    return [task["state"] for task in doc["tasks"]]


def text_of(doc: dict[str, Any]) -> Any:
    return doc["tasks"][-1]["messages"][0].get("message")


def test_a_message_is_a_pending_task() -> None:
    doc = report()

    task = messenger().add_message(doc, {"message": "Hello"})

    assert doc["tasks"] == [task]  # MSG-1, MSG-2
    uuid = doc["tasks"][0]["messages"][0].pop("uuid")
    assert uuid[14] == "7"
    assert task == {
        "messages": [{"to": "+254711111111", "message": "Hello"}],
        "state": "pending",
        "state_history": [{"state": "pending", "timestamp": STAMP}],
    }


def test_the_example_of_the_rules() -> None:
    template = "Hi {{contact.name}}, {{patient_name}} ({{patient_id}}) due {{#date}}{{lmp}}{{/date}} at {{clinic.name}}"

    message = messenger(date_format="DD-MMM-YYYY").generate(
        report(), {"message": template}, "clinic", MessageContext(patient=ASHA)
    )

    assert message["to"] == "+254700000001"  # 40 §6, example
    assert message["message"] == "Hi Bea, Asha (12345) due 14-Nov-2023 at Clin"


@pytest.mark.parametrize(
    ("config", "text"),
    [
        ({"translation_key": "m.ok"}, "Sawa"),
        ({"translationKey": "m.ok"}, "Sawa"),
        ({"translation_key": "m.english"}, "English"),
        ({"message": " one "}, "one"),
        ({"message": [{"locale": "en", "content": "E"}, {"locale": "sw", "content": " S "}]}, "S"),
        ({"messages": [{"locale": "fr", "content": "F"}, {"locale": "en", "content": "E"}]}, "F"),
    ],
)
def test_where_a_text_comes_from(config: dict[str, Any], text: str) -> None:
    doc = report(locale="sw")

    messenger({"sw": {"m.ok": " Sawa "}, "en": {"m.english": "English"}}).add_message(doc, config)

    assert text_of(doc) == text  # MSG-3


@pytest.mark.parametrize(
    ("members", "settings", "text"),
    [
        ({"locale": "fr", "sms_message": {"locale": "sw"}}, {"locale_outgoing": "es"}, "fr"),
        ({"sms_message": {"locale": "sw"}}, {"locale_outgoing": "es"}, "sw"),
        ({}, {"locale_outgoing": "es", "locale": "fr"}, "es"),
        ({}, {"locale": "fr"}, "fr"),
        ({}, {}, "en"),
    ],
)
def test_the_language_of_a_message(members: dict[str, Any], settings: dict[str, Any], text: str) -> None:
    doc = report(**members)

    messenger({each: {"k": each} for each in ("fr", "sw", "es", "en")}, **settings).add_message(
        doc, {"translation_key": "k"}
    )

    assert text_of(doc) == text  # MSG-4


@pytest.mark.parametrize(
    "config", [{}, {"message": " "}, {"translation_key": "no.such"}, {"message": "{{unknown}}"}, {"message": []}]
)
def test_a_message_without_text_says_so(config: dict[str, Any]) -> None:
    doc = report()

    messenger().add_message(doc, config)

    assert doc["tasks"][0]["messages"][0]["error"] == "messages.errors.message.empty"  # MSG-5
    assert "message" not in doc["tasks"][0]["messages"][0]


@pytest.mark.parametrize(
    ("context", "error"),
    [
        (MessageContext(registrations=[{"_id": "x"}]), "messages.errors.patient.missing"),
        (MessageContext(place_registrations=[{"_id": "x"}]), "messages.errors.place.missing"),
        (MessageContext(registrations=[{"_id": "x"}], patient=ASHA), None),
    ],
)
def test_registrations_without_their_subject_are_an_error(context: MessageContext, error: str | None) -> None:
    message = messenger().generate(report(), {"message": "Hi"}, "reporting_unit", context)

    assert (message.get("error"), message["message"]) == (error, "Hi")  # MSG-5


def test_a_long_text_is_cut_and_kept() -> None:
    message = messenger(multipart_sms_limit=1).generate(report(), {"message": "a" * 161}, None)

    assert message["message"] == "a" * 150 + "..."  # MSG-17
    assert message["original_message"] == "a" * 161


@pytest.mark.parametrize(
    ("settings", "sender"),
    [
        ({"gateway_number": "0711000111", "default_country_code": 254}, "+254711000111"),
        ({"outgoing_deny_shorter_than": 6}, "12345"),
        ({"outgoing_deny_shorter_than": "6"}, "12345"),
        ({"outgoing_deny_with_alphas": True}, "SAFARICOM"),
        ({"outgoing_deny_list": "253, Safari ,"}, "SAFARICOM"),
    ],
)
def test_replies_to_denied_numbers_are_denied(settings: dict[str, Any], sender: str) -> None:
    doc = report(**{"from": sender})

    messenger(**settings).add_message(doc, {"message": "Hi"})

    assert states(doc) == ["denied"]  # MSG-6, MSG-7


@pytest.mark.parametrize(
    ("settings", "number"),
    [({}, "1"), ({"outgoing_deny_with_alphas": "true"}, "ABC"), ({"outgoing_deny_list": ", ,"}, "+1"), ({}, None)],
)
def test_numbers_that_are_not_denied(settings: dict[str, Any], number: str | None) -> None:
    assert messenger(**settings).is_denied(number) is False  # MSG-7


def test_a_message_to_somebody_else_is_judged_by_the_number_it_goes_to() -> None:
    doc = report(**{"from": "12345"})

    messenger(outgoing_deny_shorter_than=6).add_message(doc, {"message": "Hi"}, "clinic")

    assert states(doc) == ["pending"]  # MSG-9


def test_a_denied_recipient_is_denied_whoever_reports() -> None:
    doc = report()

    messenger(outgoing_deny_list="+2547000").add_message(doc, {"message": "Hi"}, "clinic")

    assert states(doc) == ["denied"]  # MSG-9


def test_a_reply_to_a_denied_sender_is_denied_though_its_phone_is_rewritten() -> None:
    doc = report(**{"from": "12345"})
    settings = {"outgoing_deny_shorter_than": 6, "outgoing_phone_replace": {"match": "1", "replace": "+2547000"}}

    messenger(**settings).add_message(doc, {"message": "Hi"})

    assert states(doc) == ["denied"]  # MSG-9


def repeated(writer: Messenger, times: int, doc_id: str = "r1") -> list[str]:
    doc = {**report(), "_id": doc_id}
    for _ in range(times):
        writer.add_message(doc, {"message": "again"})
    return states(doc)


@pytest.mark.parametrize(("limit", "pending"), [(None, 5), ("2", 2), (3, 3), (100, 20), ("x", 5)])
def test_the_same_message_is_sent_a_few_times_only(limit: Any, pending: int) -> None:
    # MSG-8, V-7
    assert repeated(messenger(sms={"duplicate_limit": limit}), pending + 2) == ["pending"] * pending + ["duplicate"] * 2


def test_the_guard_forgets_after_half_an_hour_of_silence() -> None:
    clock = Clock()
    writer = messenger(clock=clock)
    repeated(writer, 5)
    clock.now += timedelta(minutes=30)

    assert repeated(writer, 1, "r2") == ["duplicate"]  # MSG-8
    clock.now += timedelta(minutes=30, seconds=1)
    assert repeated(writer, 1, "r3") == ["pending"]


def test_a_document_processed_again_is_not_another_message() -> None:
    writer = messenger()
    docs = [{**report(), "_id": f"r{number}"} for number in (*range(5), 4, 4, 0, 5)]
    for doc in docs:
        writer.add_message(doc, {"message": "again"})

    assert [states(doc)[0] for doc in docs] == ["pending"] * 8 + ["duplicate"]  # MSG-8, TRN-10


def test_the_guard_keeps_its_memory_small() -> None:
    clock = Clock()
    guard = DuplicateGuard(clock)
    for n in range(1000):
        guard.count("+1", str(n))
    clock.now += timedelta(hours=1)

    guard.count("+1", "new")

    assert len(guard.counts) == 1  # MSG-8


def test_the_guard_forgets_at_most_once_a_minute() -> None:
    clock = Clock()
    guard = DuplicateGuard(clock)
    for n in range(1001):
        guard.count("+1", str(n))
    swept = guard.counts
    clock.now += timedelta(seconds=59)
    guard.count("+1", "new")
    assert guard.counts is swept

    clock.now += timedelta(seconds=1)
    guard.count("+1", "newer")
    assert guard.counts is not swept


def test_a_unique_message_is_not_added_twice() -> None:
    doc, writer = report(), messenger()
    first = writer.add_message(doc, {"message": "Hi"}, unique=True)

    assert writer.add_message(doc, {"message": "Hi"}, unique=True) is first  # MSG-11
    assert len(doc["tasks"]) == 1


def test_a_bad_template_is_an_error_of_the_document() -> None:
    doc = report()

    assert messenger({"en": {"m": "{{#open}}"}}).add_message(doc, {"translation_key": "m"}) is None  # MSG-12
    assert doc["tasks"] == []
    assert doc["errors"][0]["code"] == "parse_error"
    assert doc["errors"][0]["message"].endswith(": m")


def test_errors_are_rendered_and_unique_by_code() -> None:
    doc, writer = report(fields={"lmp": 12}), messenger()

    added = [
        writer.add_error(doc, {"code": "a", "message": "lmp is {{lmp}}"}),
        writer.add_error(doc, {"code": "a", "message": "again"}),
        writer.add_error(doc, {"code": "b"}),
        writer.add_error(doc, "plain"),
        writer.add_error(doc, {"code": "c", "message": "{{#bad"}),
    ]

    assert added == [True, False, False, True, True]  # TRN-9, MSG-13
    assert doc["errors"] == [
        {"code": "a", "message": "lmp is 12"},
        {"code": "invalid_report", "message": "plain"},
        {"code": "c", "message": "{{#bad"},
    ]


def test_a_rejection_uses_the_configured_message() -> None:
    doc = report()
    config = {
        "messages": [{"event_type": "other"}, {"event_type": "gone", "recipient": "clinic", "message": "No {{form}}"}]
    }

    messenger().reject(doc, config, "gone")

    assert (doc["tasks"][0]["messages"][0]["to"], text_of(doc)) == ("+254700000001", "No F")  # TRN-17
    assert doc["errors"] == [{"code": "gone", "message": "No F"}]


def test_a_rejection_without_configuration_uses_the_general_text() -> None:
    doc = report()

    messenger().reject(doc, None, "sys.facility_not_found")

    assert doc["tasks"][0]["messages"][0]["to"] == "+254711111111"  # TRN-17
    assert text_of(doc).startswith("You have not been registered")
    assert doc["errors"][0]["code"] == "sys.facility_not_found"


def test_success_is_told_only_when_a_message_is_configured() -> None:
    doc = report()
    config = {"messages": [{"event_type": "report_accepted", "message": "Thanks"}]}

    assert messenger().accept(doc, config, "other") is False  # TRN-17
    assert messenger().accept(doc, config, "report_accepted") is True
    assert text_of(doc) == "Thanks"


@pytest.mark.parametrize(("join", "text"), [(False, "bad name"), (True, "bad name  bad lmp")])
def test_failed_validations_get_one_reply(join: bool, text: str) -> None:
    doc = report()
    errors = [{"code": "invalid_name", "message": "bad name"}, {"code": "invalid_lmp", "message": "bad lmp"}]

    messenger().answer_invalid(doc, errors, join_responses=join)

    assert [error["code"] for error in doc["errors"]] == ["invalid_name", "invalid_lmp"]  # MSG-14
    assert len(doc["tasks"]) == 1
    assert text_of(doc) == text


def test_the_document_given_keeps_its_lists() -> None:
    original = report()
    copy = dict(original)

    messenger().reject(copy, None, "gone")

    assert (original["tasks"], original["errors"]) == ([], [])
