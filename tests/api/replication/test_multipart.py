"""`_bulk_get` for clients that take parts only: the same documents as in JSON, with the attachments' own bytes."""

from __future__ import annotations

import gzip
from base64 import b64decode
from email import message_from_bytes
from email.message import Message
from typing import Any

import orjson
import pytest

from tests.api.replication.conftest import A1, C1, JSON, report

TEXT = b"text that packs well " * 40
BYTES = bytes(range(256)) * 300
PARTS = {**JSON, "Accept": "multipart/mixed"}

Doc = dict[str, Any]


@pytest.fixture
async def with_attachments(district: Any) -> Doc:
    """A report of asha's and one of nobody's, each with a text and a picture."""
    revs = {}
    for doc_id, subject in (("own", "60001"), ("foreign", "C2")):
        rev = await district.db.put(report(doc_id, C1, patient_id=subject))
        for name, kind, data in (("note.txt", "text/plain", TEXT), ("a/photo", "image/png", BYTES)):
            response = await district.client.put(
                f"/medic/{doc_id}/{name}?rev={rev}", data=data, headers={"Content-Type": kind}
            )
            rev = (await response.json())["rev"]
        revs[doc_id] = rev
    return revs


async def bulk_get(district: Any, docs: list[Any], query: str = "", headers: Doc = PARTS) -> Any:
    """The answer, with its parsed parts in `.parts`."""
    response = await district.client.post(
        f"/medic/_bulk_get?{query}", data=orjson.dumps({"docs": docs}), headers={**headers, **district.asha}
    )
    body = await response.read()
    message = message_from_bytes(f"Content-Type: {response.headers['Content-Type']}\r\n\r\n".encode() + body)
    response.parts = message.get_payload() if message.is_multipart() else []
    return response


def body_of(part: Message) -> Doc:
    """The document of a part, which may have attachments behind it."""
    first = part.get_payload(0) if part.is_multipart() else part
    found: Doc = orjson.loads(first.get_payload(decode=True))  # type: ignore[union-attr,arg-type]
    return found


def attachments_of(part: Message) -> dict[str, bytes]:
    found: dict[str, Any] = {}
    for each in part.get_payload()[1:]:  # type: ignore[index]
        data = each.get_payload(decode=True)  # type: ignore[union-attr]
        packed = each["Content-Encoding"] == "gzip"  # type: ignore[index]
        found[str(each.get_filename())] = gzip.decompress(data) if packed else data  # type: ignore[union-attr,arg-type]
    return found


async def test_parts_hold_the_callers_documents_only(district: Any) -> None:
    # REPL-101: refused and missing ones are left out
    asked = [{"id": each} for each in ("R1", "R6", "missing", "P1", "C2")]

    answer = await bulk_get(district, asked, "revs=true")

    assert answer.status == 200
    assert answer.headers["Content-Type"].startswith("multipart/mixed; boundary=")
    assert [body_of(part)["_id"] for part in answer.parts] == ["R1", "P1"]
    assert all("_revisions" in body_of(part) for part in answer.parts)  # REPL-103


async def test_attachments_come_as_they_are_stored(district: Any, with_attachments: Doc) -> None:
    asked = [{"id": "own"}, {"id": "foreign"}, {"id": "R1"}]

    answer = await bulk_get(district, asked, "attachments=true&revs=true")
    as_json = await district.json("POST", "_bulk_get?attachments=true", json={"docs": asked})

    own, r1 = answer.parts
    assert [body_of(own)["_rev"], body_of(r1)["_id"]] == [with_attachments["own"], "R1"]
    assert own["X-Doc-Id"] == "own"
    assert attachments_of(own) == {"note.txt": TEXT, "a/photo": BYTES}
    inline = as_json["results"][0]["docs"][0]["ok"]["_attachments"]
    assert {name: b64decode(each["data"]) for name, each in inline.items()} == attachments_of(own)


async def test_without_attachments_they_are_stubs(district: Any, with_attachments: Doc) -> None:
    answer = await bulk_get(district, [{"id": "own"}])

    assert body_of(answer.parts[0])["_attachments"]["note.txt"]["stub"] is True


async def test_revisions_are_judged_by_their_own_content(district: Any) -> None:
    first = await district.db.put(report("moving", A1, patient_id="60001"))
    second = await district.db.put({**report("moving", A1, patient_id="C2"), "_rev": first})
    asked = [{"id": "moving", "rev": first}, {"id": "moving", "rev": second}]

    answer = await bulk_get(district, asked)

    assert [body_of(part)["_rev"] for part in answer.parts] == [first]


async def test_many_documents_come_in_one_answer(district: Any) -> None:
    await district.db.bulk_docs([report(f"many{number}", C1, patient_id="60001") for number in range(150)])

    answer = await bulk_get(district, [{"id": f"many{number}"} for number in range(150)])

    assert [body_of(part)["_id"] for part in answer.parts] == [f"many{number}" for number in range(150)]


async def test_nothing_allowed_is_an_answer_without_parts(district: Any) -> None:
    answer = await bulk_get(district, [{"id": "C2"}])

    assert answer.status == 200
    assert answer.parts == []


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("multipart/related", "multipart/related"),
        ("multipart/*", "multipart/mixed"),
        ("multipart/related, multipart/mixed", "multipart/mixed"),
        ("application/json, multipart/mixed", "application/json"),
        ("multipart/mixed, */*;q=0.1", "application/json"),
        ("application/json;q=0, multipart/mixed", "multipart/mixed"),
        ("text/plain", "application/json"),
    ],
)
async def test_json_for_all_that_take_it(district: Any, accept: str, kind: str) -> None:
    answer = await bulk_get(district, [{"id": "R1"}], headers={**JSON, "Accept": accept})

    assert answer.headers["Content-Type"].startswith(kind)


@pytest.mark.parametrize("body", [b"{}", b'{"docs":7}', b"[", b""])
async def test_wrong_bodies_are_400_whatever_is_accepted(district: Any, body: bytes) -> None:
    response = await district.client.post("/medic/_bulk_get", data=body, headers={**PARTS, **district.asha})

    assert response.status == 400
    assert (await response.json())["error"] == "bad_request"
