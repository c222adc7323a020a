"""20 §14: what asha and sue see, the same through every way of reading."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import pytest

ASHA = {"settings": True, "P1": True, "R1": True, "R2": True, "R3": False, "R4": True, "R5": False, "R6": False}
ASHA |= {"T1": True, "T2": False, "G1": True, "M1": False, "N1": False, "D1": False, "H1": True, "C1": True}
ASHA |= {"A1": True, "S1": False, "H2": False, "C2": False, "_design/medic-client": True, "_design/medic": False}
SUE = {"settings": True, "P1": False, "R1": False, "R2": True, "R3": True, "R4": True, "R5": True, "R6": False}
SUE |= {"T1": False, "T2": False, "G1": False, "M1": False, "N1": False, "D1": True, "H1": True, "C1": False}
SUE |= {"A1": False, "S1": True, "H2": True, "C2": False, "_design/medic-client": True, "_design/medic": False}
EXPECTED = {"asha": ASHA, "sue": SUE}


@pytest.fixture(params=["asha", "sue"])
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def check(name: str, ids: set[str]) -> None:
    wrong = {doc_id for doc_id, expected in EXPECTED[name].items() if (doc_id in ids) != expected}
    assert not wrong, f"{name} should{'' if EXPECTED[name][min(wrong)] else ' not'} see {min(wrong)}; all: {wrong}"


async def test_get_ids_lists_exactly_the_users_documents(district: Any, name: str) -> None:
    user = getattr(district, name)

    answer = await district.get_ids(user)

    ids = [each["id"] for each in answer["doc_ids_revs"]]
    check(name, set(ids))
    assert ids == sorted(set(ids))  # REPL-50
    assert district.user_id(user) in ids
    assert answer["warn"] is False
    assert answer["limit"] == 10000
    assert answer["warn_docs"] == len(ids) - (name == "asha")  # the task does not count, REPL-86


async def test_changes_has_exactly_the_users_documents(district: Any, name: str) -> None:
    user = getattr(district, name)

    answer = await district.json("GET", "_changes", user)

    check(name, {row["id"] for row in answer["results"]})
    listed = await district.get_ids(user)
    assert {(row["id"], row["changes"][0]["rev"]) for row in answer["results"]} == {
        (each["id"], each["rev"]) for each in listed["doc_ids_revs"]
    }


async def test_all_docs_by_keys_hides_what_is_not_the_users(district: Any, name: str) -> None:
    ids = [*EXPECTED[name], "missing", 17]

    answer = await district.json("POST", "_all_docs", getattr(district, name), json={"keys": ids})

    assert [row["id"] for row in answer["rows"]] == ids  # REPL-96
    check(name, {row["id"] for row in answer["rows"] if "value" in row})
    assert {"id": "missing", "error": "forbidden"} in answer["rows"]
    assert {"id": 17, "error": "forbidden"} in answer["rows"]


async def test_all_docs_lists_the_users_documents(district: Any, name: str) -> None:
    user = getattr(district, name)

    plain = await district.json("GET", "_all_docs", user)
    whole = await district.json("GET", "_all_docs?include_docs=true", user)

    check(name, {row["id"] for row in plain["rows"]})
    assert [(row["id"], row["value"]["rev"]) for row in plain["rows"]] == [
        (row["doc"]["_id"], row["doc"]["_rev"]) for row in whole["rows"]
    ]


async def test_bulk_get_gives_the_users_documents(district: Any, name: str) -> None:
    asked = {"docs": [{"id": doc_id} for doc_id in [*EXPECTED[name], "missing"]]}

    answer = await district.json("POST", "_bulk_get?revs=true", getattr(district, name), json=asked)

    assert all(len(result["docs"]) == 1 and "_revisions" in result["docs"][0]["ok"] for result in answer["results"])
    check(name, {result["id"] for result in answer["results"]})


async def test_single_documents_are_the_users_or_forbidden(district: Any, name: str) -> None:
    found = set()
    for doc_id in [*EXPECTED[name], "missing"]:
        response = await district.get(doc_id, getattr(district, name))
        if response.status == 200:
            found.add((await response.json())["_id"])
        else:
            assert response.status == 403  # REPL-104: missing and denied look alike
            assert await response.json() == {"error": "forbidden", "reason": "Insufficient privileges"}

    check(name, found)


async def test_attachments_follow_their_document(district: Any, name: str) -> None:
    photo = {"content_type": "text/plain", "data": b64encode(b"a photo").decode()}
    docs = (await district.db.get_many(EXPECTED[name])).values()
    rows = await district.db.bulk_docs(
        [{**doc, "_attachments": {"a/photo.txt": photo}} for doc in docs if not doc["_id"].startswith("_design/")]
    )

    found = set()
    for row in rows:
        without_rev = await district.get(f"{row['id']}/a/photo.txt", getattr(district, name))
        with_rev = await district.get(f"{row['id']}/a/photo.txt?rev={row['rev']}", getattr(district, name))
        if without_rev.status == 200:
            assert await without_rev.read() == await with_rev.read() == b"a photo"
            found.add(row["id"])
        else:
            assert without_rev.status == 404  # PROXY-27
            assert await without_rev.json() == {"error": "bad_request", "reason": "Invalid rev format"}
            assert with_rev.status == 403

    check(name, found | {"_design/medic-client"})


async def test_users_without_facility_have_the_defaults_only(district: Any, make_user: Any) -> None:
    nobody = await make_user("nobody", roles=["chw"])

    answer = await district.get_ids(nobody)

    ids = {each["id"] for each in answer["doc_ids_revs"]}  # REPL-3
    assert district.user_id(nobody) in ids
    assert {"settings", "_design/medic-client"} <= ids
    assert not ids & {"H1", "P1", "R1", "T1"}


@pytest.mark.parametrize("switched_on", [True, False])
@pytest.mark.parametrize("permitted", [True, False])
async def test_unassigned_documents_need_setting_and_permission(
    district: Any, switched_on: bool, permitted: bool
) -> None:
    settings = await district.db.get("settings")
    settings["settings"]["district_admins_access_unallocated_messages"] = switched_on
    settings["settings"]["permissions"]["can_view_unallocated_data_records"] = ["chw"] if permitted else []
    rev = await district.db.put(settings)
    await district.settings_arrived(rev)

    answer = await district.get_ids()

    assert ("M1" in {each["id"] for each in answer["doc_ids_revs"]}) == (switched_on and permitted)  # REPL-33
