"""update_clinics, default_responses and generate_shortcode_on_contacts: a changed document in, its result out."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from core.couch.client import Doc
from tests.sentinel.conftest import CHW_PHONE, Deployment, codes, texts

Preg = Callable[..., Doc]

SINCE = {"start_date": "2031-11-01"}


def message(doc_id: str, sender: str = CHW_PHONE, **members: object) -> Doc:
    """A free message as the API stores it."""
    sms = {"type": "sms_message", "message": "hello", "from": sender}
    return {"_id": doc_id, "type": "data_record", "from": sender, "fields": {}, "sms_message": sms} | members


async def test_sender_is_found_by_phone(deployment: Deployment) -> None:  # TR-CLI-3, TR-CLI-4
    doc = await deployment.processed(message("m1"))

    assert doc["contact"]["_id"] == "chw"
    assert doc["contact"]["parent"]["_id"] == "c1"


async def test_sender_is_looked_for_once_and_only_where_none_is_known(deployment: Deployment) -> None:  # TR-CLI-1
    known = await deployment.processed(message("m1", contact={"_id": "mum"}))
    ran = await deployment.processed(message("m2", transitions={"update_clinics": {"last_rev": "1-a", "ok": True}}))
    person = await deployment.processed({"_id": "p9", "type": "person", "from": CHW_PHONE})

    assert known["contact"] == {"_id": "mum"}
    assert "contact" not in ran
    assert "contact" not in person


@pytest.mark.parametrize(
    ("refid", "contact"),
    [("ABC", "mum"), ("abc", "mum"), ("NOBODY", None)],
    ids=["place gives its primary contact", "in any case", "no fall-back to the phone"],
)
async def test_sender_is_found_by_external_code(  # TR-CLI-2
    deployment: Deployment, refid: str, contact: str | None
) -> None:
    doc = await deployment.processed(message("m1", refid=refid))

    assert doc.get("contact", {}).get("_id") == contact


async def test_place_without_primary_contact_is_the_submitters_place(deployment: Deployment) -> None:  # TR-CLI-2
    clinic = await deployment.db.get("c1")
    del clinic["contact"]
    await deployment.db.put(clinic)
    doc = await deployment.processed(message("m1", refid="ABC"))

    assert doc["contact"] == {"parent": {"_id": "c1", "parent": {"_id": "h1", "parent": {"_id": "d1"}}}}


async def test_person_with_the_external_code(deployment: Deployment) -> None:  # TR-CLI-2
    await deployment.store({"_id": "p9", "type": "person", "rc_code": "P9", "parent": {"_id": "c1"}})
    doc = await deployment.processed(message("m1", refid="P9"))

    assert doc["contact"]["_id"] == "p9"


@pytest.mark.parametrize(
    ("members", "error_codes", "replies"),
    [
        ({}, ["sys.facility_not_found"], 0),
        ({"form": "FORM"}, ["sys.facility_not_found"], 1),
        ({"form": "PUB"}, [], 0),
        ({"form": "FORM", "content_type": "xml"}, [], 0),
    ],
    ids=["no form", "known form", "public form", "XML"],
)
async def test_unknown_sender(  # TR-CLI-5, TR-CLI-6
    deployment: Deployment, members: Doc, error_codes: list[str], replies: int
) -> None:
    doc = await deployment.processed(message("m1", "+254799000000", **members))

    assert codes(doc) == error_codes
    assert len(texts(doc)) == replies
    assert "contact" not in doc


async def test_configured_answer_to_an_unknown_sender(deployment: Deployment) -> None:  # TR-CLI-5
    messages = [{"event_type": "sys.facility_not_found", "message": "who are you?", "recipient": "reporting_unit"}]
    await deployment.configure(update_clinics=[{"form": "FORM", "messages": messages}])

    assert texts(await deployment.processed(message("m1", "+254799000000", form="FORM"))) == ["who are you?"]


@pytest.mark.parametrize(
    ("members", "settings", "reply"),
    [
        ({}, {}, "sms_received"),
        ({"form": "FORM"}, {}, None),
        ({"errors": [{"code": "sys.empty", "message": "x"}]}, {}, "empty"),
        ({"errors": [{"code": "sys.form_not_found", "message": "x"}]}, {"forms_only_mode": True}, "form_not_found"),
        ({"errors": [{"code": "sys.form_not_found", "message": "x"}]}, {}, "sms_received"),
        ({"kujua_message": True}, {}, None),  # MSG-15
        ({"reported_date": 1}, {}, None),
        ({}, {"default_responses": {"start_date": "soon"}}, None),
        ({}, {"default_responses": None}, None),
        ({}, {"gateway_number": "0712345678"}, None),
    ],
    ids=[
        "free message",
        "form",
        "empty",
        "forms only",
        "form not found",
        "outgoing",
        "old",
        "no date",
        "off",
        "from the gateway itself",
    ],
)
async def test_default_response(  # TR-DEF-1, TR-DEF-2
    deployment: Deployment, members: Doc, settings: Doc, reply: str | None
) -> None:
    await deployment.configure(**{"default_responses": SINCE, **settings})
    messages = {"sms_received": "received", "empty": "nothing in it", "form_not_found": "which form?"}
    await deployment.db.update("messages-en", lambda doc: {**(doc or {}), "custom": messages})
    doc = await deployment.processed(message("m1", **members))

    assert texts(doc) == ([messages[reply]] if reply else [])


async def test_default_response_is_noted_even_without_a_reply(deployment: Deployment, preg: Preg) -> None:  # TR-DEF-2
    await deployment.configure(default_responses=SINCE)
    await deployment.processed(preg("r1"))

    assert "default_responses" in (await deployment.info("r1"))["transitions"]


async def test_contacts_get_short_codes(deployment: Deployment) -> None:  # TR-SC-1, TR-SC-2, V-1
    await deployment.configure(transitions={"generate_shortcode_on_contacts": True})
    await deployment.store(
        {"_id": "p1", "type": "person", "parent": {"_id": "c1"}},
        {"_id": "c2", "type": "clinic", "parent": {"_id": "h1"}},
        {"_id": "x1", "type": "something"},
    )
    await deployment.process()

    person, place, other = [await deployment.db.get(doc_id) for doc_id in ("p1", "c2", "x1")]
    assert len(person["patient_id"]) == 5
    assert len(place["place_id"]) == 5
    assert "place_id" not in person
    assert "patient_id" not in other
    assert (await deployment.db.get("mum"))["patient_id"] == "50001"


@pytest.mark.parametrize(("given", "noted"), [(True, True), (False, False)], ids=["by us", "by others"])
async def test_short_code_whose_note_was_lost_with_the_worker_is_noted_later(  # INF-4
    deployment: Deployment, given: bool, noted: bool
) -> None:
    await deployment.configure(transitions={"generate_shortcode_on_contacts": True})
    person = {"_id": "p1", "type": "person", "name": "Pia", **({} if given else {"patient_id": "77777"})}
    before = await deployment.processed(person)
    info = await deployment.info("p1")
    await deployment.sentinel_db.delete(info["_id"], info["_rev"])
    deployment.position = 0
    await deployment.process()

    assert (await deployment.db.get("p1"))["patient_id"] == before["patient_id"]
    assert ("generate_shortcode_on_contacts" in (await deployment.info("p1"))["transitions"]) is noted


async def test_short_code_comes_back_when_it_is_removed(deployment: Deployment) -> None:  # TR-SC-1
    await deployment.configure(transitions={"generate_patient_id_on_people": True})
    mum = await deployment.db.get("mum")
    del mum["patient_id"]

    assert (await deployment.processed(mum))["patient_id"]


async def test_seventh_identical_reply_is_a_duplicate(deployment: Deployment) -> None:  # V-7, MSG-8
    await deployment.configure(default_responses=SINCE)
    for number in range(7):
        await deployment.store(message(f"m{number}"))
    await deployment.process()

    docs = await deployment.db.get_many(f"m{number}" for number in range(7))
    assert sorted(doc["tasks"][0]["state"] for doc in docs.values()) == ["duplicate"] * 2 + ["pending"] * 5
