"""Rules of 20 that no other file is about: inputs, lists, counts, what is open to phones, what became of a scope."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.api.replication.conftest import A1, C1, H1, clinic, report
from tests.conftest import basic, eventually


def listed(answer: dict[str, Any]) -> set[str]:
    return {row["id"] for row in answer["doc_ids_revs"]}


async def deletes(district: Any, *ids: str, **members: Any) -> dict[str, Any]:
    body = {"doc_ids": ids, **members}
    response = await district.client.post("/api/v1/replication/get-deletes", json=body, headers=district.asha)
    assert response.status == 200
    found: dict[str, Any] = await response.json()
    return found


async def test_the_account_decides_not_its_profile(district: Any) -> None:
    # REPL-1: facility and roles of `_users` count, those of the user-settings document do not
    profile = await district.db.get(district.user_id(district.asha))
    await district.db.put({**profile, "facility_id": "H2", "roles": ["national_admin"]})

    ids = listed(await district.get_ids())

    assert "P1" in ids
    assert "C2" not in ids


async def test_an_account_without_a_profile_has_its_list(district: Any) -> None:
    # REPL-2
    profile = await district.db.get(district.user_id(district.asha))
    await district.db.delete(profile["_id"], profile["_rev"])

    ids = listed(await district.get_ids())

    assert "P1" in ids
    assert profile["_id"] not in ids


async def test_a_private_report_by_shortcode_is_kept_from_its_subject_in_every_path(district: Any) -> None:
    # REPL-34, REPL-45
    changes = await district.json("GET", "_changes")
    rows = (await district.json("POST", "_all_docs", json={"keys": ["R3", "R4"]}))["rows"]

    assert {"R3", "R4"} & {row["id"] for row in changes["results"]} == {"R4"}
    assert [row.get("error") for row in rows] == ["forbidden", None]


async def test_reports_about_a_deleted_contact_stay_visible_unless_settings_say_otherwise(district: Any) -> None:
    # REPL-36
    doc = await district.db.get("P1")
    await district.db.delete("P1", doc["_rev"])
    kept = listed(await district.get_ids())
    since = (await district.json("GET", "_changes"))["last_seq"]
    settings = await district.db.get("settings")
    settings["settings"]["deleted_contacts_keep_documents"] = False
    await district.settings_arrived(await district.db.put(settings))

    dropped = listed(await district.get_ids())
    single = await district.get("R1")
    written = await district.call("PUT", "late", json=report("late", A1, patient_id="60001"))
    await district.db.put({key: value for key, value in doc.items() if key != "_rev"})
    news = await district.json("GET", f"_changes?since={since}")

    assert {"R1", "R2"} <= kept
    assert {"R1", "P1"}.isdisjoint(dropped)
    assert "R2" in dropped  # signed off to A1's places
    assert (single.status, written.status) == (403, 403)
    assert {"P1", "R1"} <= {row["id"] for row in news["results"]}


async def test_last_seq_never_passes_what_is_still_to_come(district: Any) -> None:
    # REPL-67: also where nothing was visible
    since = (await district.json("GET", "_changes"))["last_seq"]
    for number in range(3):
        await district.db.put(report(f"early{number}", C1, patient_id="later"))
        page = await district.json("GET", f"_changes?since={since}&limit=1")
        assert page["results"] == []
        since = page["last_seq"]
    await district.db.put({"_id": "later", "type": "person", "parent": H1})

    news = await district.json("GET", f"_changes?since={since}")

    assert {row["id"] for row in news["results"]} == {"later", "early0", "early1", "early2"}


@pytest.mark.parametrize("beats", ["&heartbeat=5000", ""], ids=["beating", "silent"])
@pytest.mark.parametrize("kind", ["longpoll", "continuous"])
@pytest.mark.parametrize("is_offline", [True, False], ids=["offline", "online"])
async def test_a_feed_whose_client_has_gone_is_dropped(
    district: Any, config: Any, is_offline: bool, kind: str, beats: str
) -> None:
    # REPL-71; online, CouchDB's own feed is let go too
    caller = district.asha if is_offline else basic(*config.couch_admin)
    since = (await district.json("GET", "_changes", caller))["last_seq"]
    path = f"/medic/_changes?since={since}&feed={kind}&timeout=600000{beats}"
    client = await socket_of(district.client, path, caller)

    async def is_held() -> bool:
        return await open_requests(district.client) == 2

    async def is_dropped() -> bool:
        return await open_requests(district.client) == 1

    await eventually(is_held)
    client.close()

    await eventually(is_dropped)


async def socket_of(client: Any, path: str, headers: dict[str, str]) -> asyncio.StreamWriter:
    """A request on its way, whose answer nobody reads."""
    _, writer = await asyncio.open_connection(client.host, client.port)
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    writer.write(f"GET {path} HTTP/1.1\r\nHost: outpost\r\n{head}\r\n".encode())
    return writer


async def open_requests(client: Any) -> float:
    """Those the server is answering, this one among them."""
    text = await (await client.get("/metrics")).text()
    [line] = [line for line in text.splitlines() if line.startswith("outpost_http_requests_in_progress ")]
    return float(line.split()[1])


async def test_a_feed_that_cannot_be_read_is_an_error_of_its_own(district: Any, indexer: Any, config: Any) -> None:
    # REPL-77
    await indexer.close()
    config.access_index.unlink()

    response = await district.get("_changes")

    assert response.status == 503
    assert (await response.json())["error"] == "Error processing your changes"


async def test_get_deletes_answers_for_every_id(district: Any) -> None:
    # REPL-93: knowingly, or orphans of a narrowed scope would stay on the phone for good
    foreign = await district.db.get("R6")
    await district.db.delete("R6", foreign["_rev"])

    assert await deletes(district, "R6", "R1", "never") == {"doc_ids": ["R6"]}


async def test_what_was_lost_sight_of_is_told_when_asked_for(district: Any) -> None:
    # REPL-136, REPL-135: documents below a place that moved out of the scope
    place = await district.db.get("C1")
    await district.db.put({**place, "parent": {"_id": "H2", "parent": {"_id": "D1"}}})
    doc = await district.db.get("R4")
    await district.db.delete("R4", doc["_rev"])
    ids = ("C1", "P1", "R4", "R6", "never")

    asked = await deletes(district, *ids, include_revoked=True)
    plain = await deletes(district, *ids)

    assert plain == {"doc_ids": ["R4"]}
    assert asked == {"doc_ids": ["R4"], "revoked_ids": ["C1", "R6"]}  # P1 says itself that it lies in C1 below H1


async def test_the_clients_design_document_is_listed(district: Any) -> None:
    assert "_design/medic-client" in listed(await district.get_ids())  # REPL-87


async def test_ids_of_the_query_go_before_those_of_the_body(district: Any) -> None:
    # REPL-95
    both = await district.json("POST", '_all_docs?keys=["P1"]', json={"keys": ["C1"]})
    body = await district.json("POST", '_all_docs?key="P1"', json={"keys": ["C1"]})
    key = await district.json("GET", '_all_docs?key="P1"')

    assert [[row["id"] for row in each["rows"]] for each in (both, body, key)] == [["P1"], ["C1"], ["P1"]]


async def test_old_phones_are_told_everything_by_all_docs_not_only_defaults(district: Any) -> None:
    rows = (await district.json("GET", "_all_docs"))["rows"]

    assert {"P1", "R1", "T1"} <= {row["id"] for row in rows}  # REPL-100


async def test_a_report_depth_of_zero_hides_what_lies_deeper(district: Any) -> None:
    # REPL-46, the row of R5 in 20 §14
    settings = await district.db.get("settings")
    settings["settings"]["replication_depth"] = [{"role": "chw_supervisor", "depth": 1, "report_depth": 0}]
    await district.settings_arrived(await district.db.put(settings))

    ids = listed(await district.get_ids(district.sue))

    assert {"R5", "S1"} & ids == {"S1"}


async def test_the_revisions_of_all_documents_may_be_compared(district: Any) -> None:
    # REPL-126
    asked = {"R6": ["9-x"], "nothing": ["1-y"]}

    diff = await district.json("POST", "_revs_diff", json=asked)

    assert {doc_id: each["missing"] for doc_id, each in diff.items()} == asked


async def test_checkpoints_are_open_without_permission_to_edit(district: Any, make_user: Any) -> None:
    # REPL-125
    reader = await make_user("reader", roles=["chw"], facility_id="H1")
    first = await district.call("PUT", "_local/check1", reader, json={"last_seq": "1"})
    again = await district.json("GET", "_local/check1", reader)

    assert first.status == 201
    assert again["last_seq"] == "1"
    assert "_local/check1" not in listed(await district.get_ids())


async def test_meta_databases_are_replicated_both_ways_unfiltered(district: Any) -> None:
    # REPL-127, REPL-151
    path = f"/medic-user-{district.asha.name}-meta"
    made = await district.client.put(f"{path}/", headers=district.asha)
    written = await district.client.put(f"{path}/read:report:R6", json={}, headers=district.asha)
    told = await district.client.get(f"{path}/_changes", headers=district.asha)

    assert (made.status in (200, 201), written.status) == (True, 201)
    assert "read:report:R6" in {row["id"] for row in (await told.json())["results"]}


async def test_users_info_counts_what_get_ids_lists(district: Any) -> None:
    # REPL-131, REPL-130
    found = await district.get_ids()
    response = await district.client.get("/api/v1/users-info", headers=district.asha)
    counts = await response.json()

    assert counts["total_docs"] == len(found["doc_ids_revs"])
    assert (counts["limit"], counts["warn"], found["limit"], found["warn"]) == (10000, False, 10000, False)


async def test_bulk_docs_pass_on_what_is_left_even_if_that_is_nothing(district: Any) -> None:
    # REPL-118, REPL-119, REPL-120
    docs = [{"_id": "N9"}, {"name": "x"}, {**(await district.db.get("C2")), "parent": H1}]

    none = await district.call("POST", "_bulk_docs", json={"docs": docs})
    some = await district.json("POST", "_bulk_docs", json={"docs": [*docs, clinic("C9", H1, "50009")]})

    assert none.status in (200, 201)
    assert await none.json() == [
        {"id": "N9", "error": "forbidden"},
        {"error": "forbidden"},
        {"id": "C2", "error": "forbidden"},
    ]
    assert some[3]["id"] == "C9"
    assert some[3]["ok"] is True


async def test_the_order_of_refusals_is_scope_then_permission_then_validation(district: Any, make_user: Any) -> None:
    # REPL-116, PROXY-12
    settings = await district.db.get("settings")
    settings["settings"].setdefault("permissions", {})["can_edit"] = ["chw_supervisor"]
    await district.settings_arrived(await district.db.put(settings))

    foreign = await district.call("PUT", "N1x", json=report("N1x", A1, patient_id="C2"))
    own = await district.call("PUT", "N2x", json=report("N2x", A1, patient_id="60001"))

    assert (foreign.status, (await foreign.json())["error"]) == (403, "forbidden")
    assert (own.status, (await own.json())["error"]) == (403, "Insufficient privileges")


async def test_only_the_clients_design_document_is_read(district: Any) -> None:
    # REPL-108
    assert (await district.get("_design/medic-client")).status == 200
    assert (await district.get("_design/medic")).status == 403


async def test_the_head_of_an_attachment_is_told_like_the_attachment(district: Any) -> None:
    # REPL-107
    doc = await district.db.get("R1")
    put = await district.client.put(
        f"/medic/R1/a/note.txt?rev={doc['_rev']}",
        data=b"hello",
        headers={**district.asha, "Content-Type": "image/png"},
    )

    as_it_is = {**district.asha, "Accept-Encoding": "identity"}
    head = await district.client.head("/medic/R1/a/note.txt", headers=as_it_is)
    foreign = await district.call("HEAD", "R6/a/note.txt")

    assert (put.status, head.status, head.headers["Content-Length"]) == (201, 200, "5")
    assert foreign.status == 404
