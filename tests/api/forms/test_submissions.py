"""Submissions of OpenRosa clients: one report for each instance (OR-20..35, OR-40..43, E1, E2, E5, OR-60..69)."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
from aiohttp.test_utils import TestClient

from core.couch.client import Database
from tests.api.family import IN_KANGA
from tests.api.forms.projects import FORM_VERSION
from tests.api.forms.submitting import E1, INSTANCE_ID, NEWBORN, PHOTO, body_of, submit

Client = TestClient[Any, Any]


async def test_a_client_asks_first_and_then_submits(client: Client, asha: Any, db: Database) -> None:
    challenge = await client.head("/openrosa/submission", headers={"Authorization": ""})
    ahead = await client.head("/openrosa/submission?deviceID=d1", headers=asha)
    status, text = await submit(client, asha, E1)

    assert challenge.status == 401  # E5
    assert challenge.headers["WWW-Authenticate"].startswith("Basic realm=")
    assert ahead.status == 204  # OR-20
    assert ahead.headers["X-OpenRosa-Accept-Content-Length"] == "33554432"
    assert ahead.headers["Location"] == f"http://127.0.0.1:{client.port}/openrosa/submission"
    assert status == 201  # OR-23
    assert '<message nature="submit_success">' in text
    assert 'xmlns="http://openrosa.org/http/response"' in text


async def test_the_report_is_the_one_a_phone_makes(client: Client, asha: Any, db: Database) -> None:
    await submit(client, asha, E1)
    report = await db.get(INSTANCE_ID)
    newborn = await db.get(NEWBORN)
    received = report["reported_date"]

    openrosa = report.pop("openrosa")
    assert report == {  # E1, XR-2, XR-5, XR-15
        "_id": INSTANCE_ID,
        "_rev": report["_rev"],
        "type": "data_record",
        "form": "bednet_visit",
        "content_type": "xml",
        "from": "+254711000111",
        "contact": {"_id": "p-asha", "parent": IN_KANGA},
        "reported_date": received,
        "form_version": FORM_VERSION,
        "hidden_fields": ["secret", "newborn"],
        "fields": {
            "inputs": {"source": "contact", "contact": {"_id": "c-odera"}},
            "place_id": "c-odera",
            "secret": "9",
            "net": [{"colour": "blue"}, {"colour": "white"}],
            "newborn": {"type": "person", "name": "Ada", "parent": "c-odera", "source_report": INSTANCE_ID},
            "child_ref": NEWBORN,
            "meta": {"instanceID": f"uuid:{INSTANCE_ID}"},
        },
    }
    assert openrosa == {  # OR-22, OR-33, OR-34
        "instance_id": f"uuid:{INSTANCE_ID}",
        "version": "2031020301",
        "device_id": "d1",
        "received": received,
        "sha256": openrosa["sha256"],
    }
    assert newborn == {
        "_id": NEWBORN,
        "_rev": newborn["_rev"],
        "type": "person",
        "name": "Ada",
        "parent": {"_id": "c-odera", "parent": IN_KANGA},
        "source_report": INSTANCE_ID,
        "form_version": FORM_VERSION,
        "reported_date": received,
    }


async def test_the_same_submission_twice_is_one_report(client: Client, asha: Any, db: Database) -> None:
    first = await submit(client, asha, E1)
    before = await db.get(INSTANCE_ID)
    second = await submit(
        client, asha, E1.replace('id="bednet_visit" version="2031020301"', "version='2031020301' id='bednet_visit'")
    )

    assert (first[0], second[0]) == (201, 201)  # E2, OR-27: canonical XML
    assert await db.get(INSTANCE_ID) == before


async def test_the_same_submission_at_once_is_one_report(client: Client, asha: Any, db: Database) -> None:
    answers = await asyncio.gather(*(submit(client, asha, E1, photo__jpg=PHOTO) for _ in range(4)))
    report = await db.get(INSTANCE_ID, conflicts=True)

    assert [status for status, _ in answers] == [201] * 4  # OR-65
    assert "_conflicts" not in report
    assert report["_rev"].startswith("1-")


async def test_other_answers_under_the_same_id_conflict(client: Client, asha: Any, db: Database) -> None:
    await submit(client, asha, E1)
    before = await db.get(INSTANCE_ID)
    status, text = await submit(client, asha, E1.replace("blue", "red"))

    assert (status, "other answers" in text) == (409, True)  # E2
    assert await db.get(INSTANCE_ID) == before


async def test_several_posts_bring_their_files_to_one_report(client: Client, asha: Any, db: Database) -> None:
    partial = body_of(E1, a__jpg=b"a" * 1000)
    partial.add_field("*isIncomplete*", "yes")
    first = await client.post("/openrosa/submission", data=partial, headers=asha)
    second, _ = await submit(client, asha, E1, b__jpg=b"b" * 1000)
    third, _ = await submit(client, asha, E1)
    report = await db.get(INSTANCE_ID)

    assert [first.status, second, third] == [201] * 3  # OR-28, OR-66
    assert {name: each["length"] for name, each in report["_attachments"].items()} == {
        "user-file-a.jpg": 1000,
        "user-file-b.jpg": 1000,
    }
    assert await db.attachment(INSTANCE_ID, "user-file-a.jpg", report["_rev"]) == b"a" * 1000


async def test_files_that_are_not_there_yet_are_told(client: Client, asha: Any, db: Database) -> None:
    xml = E1.replace("<meta>", "<photo>p.jpg</photo><meta>")
    await submit(client, asha, xml)
    before = await db.get(INSTANCE_ID)
    await submit(client, asha, xml, p__jpg=PHOTO)
    after = await db.get(INSTANCE_ID)

    assert before["openrosa"]["missing"] == ["p.jpg"]  # OR-29
    assert "missing" not in after["openrosa"]
    assert after["fields"]["photo"] == "p.jpg"  # XR-10
    assert await db.attachment(INSTANCE_ID, "user-file-p.jpg", after["_rev"]) == PHOTO


async def test_what_a_former_attempt_left_out_is_completed(client: Client, asha: Any, db: Database) -> None:
    await submit(client, asha, E1)
    newborn = await db.get(NEWBORN)
    # As if the server had ended between the two documents: the report is there, the person never was.
    [purged] = (await db.couch.request("POST", f"{db.path}/_purge", body={NEWBORN: [newborn["_rev"]]}))["purged"]
    status, _ = await submit(client, asha, E1)

    assert purged == NEWBORN
    assert status == 201  # OR-34
    assert (await db.get(NEWBORN))["name"] == "Ada"


async def test_a_body_in_chunks_is_taken(client: Client, asha: Any, db: Database) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        head = '--B\r\nContent-Disposition: form-data; name="xml_submission_file"; filename="i.xml"\r\n\r\n'
        for part in (head, E1[:100], E1[100:], "\r\n--B--\r\n"):
            yield part.encode()

    headers = {**asha, "Content-Type": "multipart/form-data; boundary=B"}
    answer = await client.post("/submission", data=chunks(), headers=headers)

    assert answer.status == 201  # OR-67
    assert (await db.get(INSTANCE_ID))["form"] == "bednet_visit"


async def test_a_body_without_end_is_refused_while_it_comes(client: Client, asha: Any) -> None:
    sent = 0

    async def chunks() -> AsyncIterator[bytes]:
        nonlocal sent
        yield b'--B\r\nContent-Disposition: form-data; name="a.jpg"; filename="a.jpg"\r\n\r\n'
        for _ in range(500):
            sent += 2**18
            yield bytes(2**18)

    headers = {**asha, "Content-Type": "multipart/form-data; boundary=B"}
    answer = await client.post("/openrosa/submission", data=chunks(), headers=headers)

    assert answer.status == 413  # OR-67
    assert sent < 100 * 2**20


async def test_a_length_over_the_limit_is_refused_at_once(client: Client, asha: Any) -> None:
    sent = {**asha, "Content-Type": "multipart/form-data; boundary=B", "Content-Length": str(33 * 2**20)}
    reader, writer = await asyncio.open_connection("127.0.0.1", client.port)
    head = "".join(f"{name}: {value}\r\n" for name, value in sent.items())
    writer.write(f"POST /openrosa/submission HTTP/1.1\r\nHost: h\r\n{head}\r\n".encode())
    line = await asyncio.wait_for(reader.readline(), 30)
    writer.close()
    await writer.wait_closed()

    assert line.startswith(b"HTTP/1.1 413")  # OR-31


async def test_files_over_the_limit_of_a_document_are_refused(client: Client, asha: Any, db: Database) -> None:
    status, _ = await submit(client, asha, E1, a__jpg=bytes(31 * 2**20))

    assert status == 413  # OR-31
    assert await db.find(INSTANCE_ID) is None


NO_SUBMISSIONS = [
    (None, 400),
    ("", 400),
    ("<bn", 400),
    ('<!DOCTYPE bn [<!ENTITY x "y">]>' + E1, 400),
    (E1.replace("bednet_visit", "nope"), 404),
    (b"\xff\xfe" + E1.encode("utf-8"), 400),
    ('<?xml version="1.0" encoding="utf-7"?>' + E1, 400),
    ("<g>" * 10_000 + "</g>" * 10_000, 400),
]


async def test_what_is_no_submission_is_refused(client: Client, asha: Any, db: Database) -> None:
    answers = [await submit(client, asha, xml) for xml, _ in NO_SUBMISSIONS]

    assert [status for status, _ in answers] == [status for _, status in NO_SUBMISSIONS]  # OR-24, OR-63, OR-64
    assert all('<message nature="submit_error">' in text for _, text in answers)
    assert await db.find(INSTANCE_ID) is None


async def test_the_charset_of_the_part_counts_where_the_xml_declares_none(
    client: Client, asha: Any, db: Database
) -> None:
    xml = E1.replace("<secret", "<note>\u00e9t\u00e9</note><secret")
    statuses = []
    for charset, data in (("iso-8859-1", xml.encode("latin-1")), ("us-ascii", xml.encode()), ("x-none", b"\xff")):
        form = aiohttp.FormData()
        form.add_field("xml_submission_file", data, filename="i.xml", content_type=f"text/xml; charset={charset}")
        statuses.append((await client.post("/openrosa/submission", data=form, headers=asha)).status)

    assert statuses == [201, 201, 400]  # the second one is the same instance again
    assert (await db.get(INSTANCE_ID))["fields"]["note"] == "\u00e9t\u00e9"


async def test_a_body_of_another_kind_is_refused(client: Client, asha: Any) -> None:
    headers = {**asha, "Content-Type": "text/xml"}
    answer = await client.post("/openrosa/submission", data=E1, headers=headers)
    broken = await client.post(
        "/openrosa/submission", data=b"--C\r\n", headers={**asha, "Content-Type": "multipart/form-data; boundary=B"}
    )

    assert (answer.status, broken.status) == (400, 400)  # OR-64


async def test_a_name_that_is_a_path_is_refused(client: Client, asha: Any, db: Database) -> None:
    statuses = {}
    for name in ("../x.jpg", "a/b.jpg", "x" * 300, "a\\b", "a\tb"):
        form = body_of(E1)
        form.add_field("file", b"x", filename=name, content_type="image/jpeg")
        statuses[name] = (await client.post("/openrosa/submission", data=form, headers=asha)).status

    assert set(statuses.values()) == {400}, statuses  # OR-69
    assert await db.find(INSTANCE_ID) is None


async def test_a_name_that_means_something_to_couchdb_is_stored_safely(client: Client, asha: Any, db: Database) -> None:
    form = body_of(E1)
    form.add_field("_local", b"x", filename="_local", content_type="text/plain")
    answer = await client.post("/openrosa/submission", data=form, headers=asha)

    assert answer.status == 201  # OR-69
    assert list((await db.get(INSTANCE_ID))["_attachments"]) == ["user-file-_local"]


async def test_a_form_cannot_write_what_is_not_a_record(client: Client, asha: Any, db: Database) -> None:
    forbidden = {
        "<_id>settings</_id>": "not free",
        "<_id>_design/medic</_id>": "not free",
        "<_deleted>true</_deleted>": "_deleted",
    }
    answers = [await submit(client, asha, E1.replace("<type>", f"{member}<type>")) for member in forbidden]

    assert [(status, told in text) for (status, text), told in zip(answers, forbidden.values(), strict=True)] == [
        (400, True)
    ] * 3
    assert await db.find(INSTANCE_ID) is None


async def test_a_form_cannot_replace_a_document(client: Client, asha: Any, db: Database) -> None:
    status, text = await submit(client, asha, E1.replace("<type>", "<_id>p-mary</_id><type>"))

    assert (status, "p-mary" in text) == (409, True)
    assert (await db.get("p-mary"))["name"] == "Mary"
    assert await db.find(INSTANCE_ID) is None


async def test_documents_outside_the_submitters_area_are_refused(client: Client, asha: Any, db: Database) -> None:
    await db.put({"_id": "hc-other", "type": "health_center", "name": "Other", "parent": {"_id": "d-busia"}})
    status, _ = await submit(client, asha, E1.replace("<parent>c-odera", "<parent>hc-other"))

    assert status == 403
    assert await db.find(NEWBORN) is None


async def test_who_may_not_submit_is_told(client: Client, asha: Any, db: Database, make_user: Any) -> None:
    viewer = await make_user("viewer", roles=["analytics"], contact_id="p-asha")
    nobody = await make_user("nobody", roles=["chw"], facility_id="hc-kanga")
    await db.update("form:bednet_visit", lambda doc: {**doc, "context": {"collect": True, "permission": "can_fill"}})
    results = [await submit(client, login, E1) for login in (viewer, nobody, asha)]
    wrong, _ = await submit(client, {"Authorization": "Basic eDp5"}, E1)

    assert [status for status, _ in results] == [403, 403, 403]  # OR-32
    assert wrong == 401  # OR-24


async def test_further_documents_need_can_edit(client: Client, asha: Any, db: Database, make_user: Any) -> None:
    clerk = await make_user("clerk", roles=["data_entry"], contact_id="p-asha")
    refused, _ = await submit(client, clerk, E1)
    stored, _ = await submit(client, clerk, E1.replace('db-doc="true"', ""))

    assert (refused, stored) == (403, 201)
    assert await db.find(NEWBORN) is None


async def test_an_administrator_submits_without_a_contact(client: Client, asha: Any, db: Database) -> None:
    status, _ = await submit(client, {}, E1)
    report = await db.get(INSTANCE_ID)

    assert status == 201  # OR-32
    assert "contact" not in report
    assert "from" not in report


async def test_an_instance_without_an_id_is_stored_each_time(client: Client, asha: Any, db: Database) -> None:
    xml = '<off id="OFF"><a>1</a></off>'
    await client.put("/api/v1/settings", json={"forms": {"OFF": {"meta": {"code": "OFF"}}}})
    results = [await submit(client, asha, xml) for _ in range(2)]
    rows = await db.view("medic-client", "reports_by_form", reduce=False, key=["OFF"])

    assert [status for status, _ in results] == [201, 201]  # OR-26, OR-35
    assert len(rows) == 2


async def test_drawings_become_attachments(client: Client, asha: Any, db: Database) -> None:
    drawn = base64.b64encode(PHOTO).decode()
    await submit(client, asha, E1.replace("<meta>", f'<signature type="binary">{drawn}</signature><meta>'))
    report = await db.get(INSTANCE_ID)

    assert report["fields"]["signature"] == ""  # XR-9
    assert report["_attachments"]["user-file/bednet_visit/signature"]["content_type"] == "image/png"


async def test_passwords_are_only_taken_over_https(client: Client, asha: Any) -> None:
    far = {**asha, "X-Forwarded-For": "41.90.1.2"}
    plain = await client.get("/openrosa/formList", headers={**far, "X-Forwarded-Proto": "http"})
    secure = await client.get("/openrosa/formList", headers={**far, "X-Forwarded-Proto": "https"})

    assert (plain.status, secure.status) == (403, 200)  # OR-43


async def test_the_worker_takes_the_report_as_a_phones(
    client: Client, asha: Any, db: Database, sentinel_db: Database, sentinel: Any
) -> None:
    from tests.conftest import eventually

    await submit(client, asha, E1)
    info = await eventually(lambda: sentinel_db.find(f"{INSTANCE_ID}-info"))

    assert info["doc_id"] == INSTANCE_ID  # OR-68
