"""The filtered `_changes` feed (20 §9)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.conftest import eventually

A1 = {"_id": "A1", "parent": {"_id": "H1", "parent": {"_id": "D1"}}}
H1 = {"_id": "H1", "parent": {"_id": "D1"}}
H2 = {"_id": "H2", "parent": {"_id": "D1"}}


def visit(doc_id: str, subject: str) -> dict[str, Any]:
    return {"_id": doc_id, "type": "data_record", "form": "visit", "contact": A1, "fields": {"patient_id": subject}}


async def changes(district: Any, query: str = "", user: Any = None) -> Any:
    return await district.json("GET", f"_changes?{query}", user)


def ids(answer: Any) -> list[str]:
    return [row["id"] for row in answer["results"]]


async def last_seq(district: Any, user: Any = None) -> str:
    return str((await changes(district, "", user))["last_seq"])


async def test_pages_follow_each_other_without_loss_or_repetition(district: Any) -> None:
    whole = await changes(district)
    since, paged = "0", []
    while True:
        page = await changes(district, f"since={since}&limit=3")
        if not page["results"]:
            break
        assert len(page["results"]) <= 3
        paged += ids(page)
        since = page["last_seq"]

    assert paged == ids(whole)
    assert len(set(paged)) == len(paged)


async def test_continuing_from_any_rows_sequence_misses_nothing(district: Any) -> None:
    whole = await changes(district)

    for place, row in enumerate(whole["results"]):
        rest = await changes(district, f"since={row['seq']}")
        assert ids(rest) == ids(whole)[place + 1 :]


async def test_nothing_new_gives_no_rows_and_a_sequence_to_go_on_from(district: Any) -> None:
    since = await last_seq(district)
    await district.db.put(visit("foreign", "C2"))

    answer = await changes(district, f"since={since}")
    await district.db.put(visit("own", "60001"))
    news = await changes(district, f"since={answer['last_seq']}")

    assert answer["results"] == []
    assert ids(news) == ["own"]
    assert "pending" not in news  # REPL-66


async def test_since_now_begins_at_the_end(district: Any) -> None:
    answer = await changes(district, "since=now")
    await district.db.put(visit("own", "60001"))
    news = await changes(district, f"since={answer['last_seq']}")

    assert answer["results"] == []
    assert ids(news) == ["own"]


async def test_held_feed_ignores_foreign_changes_and_answers_its_own(district: Any) -> None:
    since = await last_seq(district)
    held = asyncio.create_task(changes(district, f"since={since}&feed=longpoll&timeout=20000"))
    await district.db.put(visit("foreign", "C2"))
    other = await changes(district, f"since={since}&feed=longpoll&timeout=300")
    assert other["results"] == []
    assert not held.done()  # REPL-68

    await district.db.put(visit("own", "60001"))
    answer = await asyncio.wait_for(held, 30)

    assert ids(answer) == ["own"]
    assert ids(await changes(district, f"since={answer['last_seq']}")) == []


@pytest.mark.parametrize("feed", ["longpoll", "nonsense"])
async def test_held_feed_with_waiting_changes_answers_at_once(district: Any, feed: str) -> None:
    answer = await changes(district, f"feed={feed}&limit=2")

    assert len(answer["results"]) == 2


async def test_held_feed_ends_empty_when_its_time_is_over(district: Any) -> None:
    since = await last_seq(district)

    answer = await changes(district, f"since={since}&feed=longpoll&timeout=100")

    assert answer["results"] == []  # REPL-69
    assert ids(await changes(district, f"since={answer['last_seq']}")) == []


async def test_own_settings_changed_while_held_give_the_new_scope(district: Any) -> None:
    since = await last_seq(district)
    held = asyncio.create_task(changes(district, f"since={since}&feed=longpoll&timeout=20000"))
    await district.db.put(visit("foreign", "C2"))
    account = await district.db.couch.db("_users").get(district.user_id(district.asha))
    await district.db.couch.db("_users").put({**account, "facility_id": "H2"})
    profile = await district.db.get(district.user_id(district.asha))
    await district.db.put({**profile, "facility_id": "H2"})

    answer = await asyncio.wait_for(held, 30)
    rest = await changes(district, f"since={answer['last_seq']}")

    assert "foreign" in ids(answer)  # REPL-74
    assert sorted(ids(answer) + ids(rest)) == sorted(["foreign", district.user_id(district.asha)])


async def test_changed_settings_end_every_held_feed(district: Any) -> None:
    since = await last_seq(district)
    held = asyncio.create_task(changes(district, f"since={since}&feed=longpoll&timeout=20000"))
    settings = await district.db.get("settings")
    await district.db.put(settings)

    answer = await asyncio.wait_for(held, 30)

    assert ids(answer) == ["settings"]  # REPL-75


async def test_heartbeats_arrive_while_nothing_happens(district: Any) -> None:
    since = await last_seq(district)
    path = f"/medic/_changes?since={since}&feed=longpoll&heartbeat=5000"

    async with district.client.get(path, headers=district.asha) as response:
        first = await asyncio.wait_for(response.content.readany(), 30)
        await district.db.put(visit("own", "60001"))
        rest = await asyncio.wait_for(response.content.read(), 30)

    assert first == b"\n"  # REPL-70
    assert b'"own"' in rest


async def test_a_contact_entering_the_scope_brings_its_older_documents(district: Any) -> None:
    await district.db.put(visit("old", "50002"))
    since = await last_seq(district)
    clinic = await district.db.get("C2")
    await district.db.put({**clinic, "parent": H1})

    answer = await changes(district, f"since={since}")

    assert set(ids(answer)) == {"C2", "old", "R6"}
    assert ids(await changes(district, f"since={answer['last_seq']}")) == []


async def test_a_phone_cut_off_among_the_older_documents_of_a_contact_gets_the_rest(district: Any) -> None:
    """They come at one change, and a PouchDB notes the sequence of any row that its batch ends with."""
    await district.db.put(visit("old", "50002"))
    since = await last_seq(district)
    clinic = await district.db.get("C2")
    await district.db.put({**clinic, "parent": H1})
    rows = (await changes(district, f"since={since}"))["results"]

    for cut in range(len(rows)):
        rest = await changes(district, f"since={rows[cut]['seq']}")
        assert {row["id"] for row in rows[cut + 1 :]} <= set(ids(rest))  # REPL-72
    assert ids(rest) == []


async def test_reports_before_their_new_contact_arrive(district: Any) -> None:
    since = await last_seq(district)
    await district.db.put(visit("early", "new"))
    refused = await changes(district, f"since={since}")
    await district.db.put({"_id": "new", "type": "clinic", "parent": H1})

    answer = await changes(district, f"since={refused['last_seq']}")

    assert refused["results"] == []
    assert set(ids(answer)) == {"new", "early"}  # REPL-72


async def test_deletions_reach_those_who_could_see_the_document(district: Any) -> None:
    since = {user.name: await last_seq(district, user) for user in (district.asha, district.sue)}
    doc = await district.db.get("R1")
    rev = await district.db.delete("R1", doc["_rev"])

    asha = await changes(district, f"since={since[district.asha.name]}")
    sue = await changes(district, f"since={since[district.sue.name]}", district.sue)
    initial = await changes(district, "initial_replication=true")

    assert [(row["id"], row["deleted"], row["changes"]) for row in asha["results"]] == [("R1", True, [{"rev": rev}])]
    assert sue["results"] == []  # REPL-76
    assert "R1" not in ids(initial)


async def test_a_recreated_document_shows_only_the_live_change(district: Any) -> None:
    since = await last_seq(district)
    doc = await district.db.get("R1")
    await district.db.delete("R1", doc["_rev"])
    rev = await district.db.put(visit("R1", "60001"))

    async def live_again() -> Any:
        rows = (await changes(district, f"since={since}"))["results"]
        return rows if "deleted" not in rows[-1] else None

    rows = await eventually(live_again)  # the index may stand between the two

    assert [(row["id"], row["changes"]) for row in rows] == [("R1", [{"rev": rev}])]


async def test_all_leaves_are_listed_when_asked_for(district: Any) -> None:
    doc = await district.db.get("R1")
    loser = {**doc, "_rev": "1-00000000000000000000000000000000"}
    await district.db.bulk_docs([loser], new_edits=False)

    plain = await changes(district)
    leaves = await changes(district, "style=all_docs")

    def revs(answer: Any) -> list[str]:
        return next([each["rev"] for each in row["changes"]] for row in answer["results"] if row["id"] == "R1")

    assert len(revs(plain)) == 1
    assert set(revs(leaves)) == {doc["_rev"], loser["_rev"]}


async def test_doc_ids_are_intersected_with_the_users_own(district: Any) -> None:
    body = {"doc_ids": ["P1", "R6", "missing"]}

    answer = await district.json("POST", "_changes?filter=_doc_ids", json=body)

    assert ids(answer) == ["P1"]  # REPL-65


async def test_documents_are_included_when_asked_for(district: Any) -> None:
    answer = await changes(district, "include_docs=true")

    docs = {row["id"]: row["doc"] for row in answer["results"]}
    assert docs["P1"]["patient_id"] == "60001"
    assert all(row["doc"]["_rev"] == row["changes"][0]["rev"] for row in answer["results"])


async def test_filters_and_order_of_the_client_change_nothing(district: Any) -> None:
    plain = await changes(district)

    asked = await changes(district, "filter=_view&view=medic/x&descending=true&seq_interval=5&attachments=true")

    assert asked["results"] == plain["results"]  # REPL-64


@pytest.mark.parametrize(
    "since",
    ["5-000000000000.0", "99999999-ffffffffffff.0", "12", "abc", "5-zz", "1-ffffffffffff.nonsense", "%00", "-1", "[]"],
)
async def test_foreign_and_tampered_sequences_start_over_and_leak_nothing(district: Any, since: str) -> None:
    whole = await changes(district)

    answer = await changes(district, f"since={since}")

    assert set(ids(answer)) <= set(ids(whole))
    again = await changes(district, f"since={answer['last_seq']}")
    assert again["results"] == []


async def test_a_token_of_another_machine_continues_from_couchdbs_sequence(district: Any) -> None:
    info = await district.db.info()
    foreign = f"7-ffffffffffff.{info['update_seq']}"
    await district.db.bulk_docs([visit("own", "60001"), visit("foreign", "C2")])

    answer = await changes(district, f"since={foreign}")
    again = await changes(district, f"since={answer['last_seq']}")

    assert ids(answer) == ["own"]
    assert again["results"] == []


async def test_paging_from_couchdbs_sequence_delivers_everything(district: Any) -> None:
    whole = await changes(district)
    first = await district.db.changes(0, limit=1)
    since, paged = f"3-ffffffffffff.{first['last_seq']}", set()
    while True:
        page = await changes(district, f"since={since}&limit=2")
        if not page["results"]:
            break
        paged |= set(ids(page))
        since = page["last_seq"]

    assert paged >= set(ids(whole)) - {first["results"][0]["id"]}
    assert paged <= set(ids(whole))


@pytest.mark.parametrize("query", ["limit=x", "limit=-1", "timeout=soon"])
async def test_wrong_numbers_are_400(district: Any, query: str) -> None:
    response = await district.get(f"_changes?{query}")

    assert response.status == 400
    assert (await response.json())["error"] == "bad_request"


async def test_what_cht_kept_of_deleted_documents_speaks_for_them(district: Any) -> None:
    # REPL-21, REPL-36, REPL-76, MOD-96
    since = await last_seq(district)
    rev = "2-" + "b" * 32
    bodies = [visit("own", "60001"), visit("foreign", "C2"), {"_id": "C9", "type": "clinic", "parent": H1}]
    kept = [
        {"_id": f"{doc['_id']}____{rev}____tombstone", "type": "tombstone", "tombstone": {**doc, "_rev": rev}}
        for doc in bodies
    ]
    await district.db.bulk_docs(kept)
    bare = [{"_id": doc["_id"], "_rev": rev, "_deleted": True} for doc in [*bodies, {"_id": "unknown"}]]
    await district.db.bulk_docs(bare, new_edits=False)
    await district.db.put(visit("about-deleted", "C9"))

    answer = await changes(district, f"since={since}")

    assert {row["id"]: row.get("deleted") for row in answer["results"]} == {
        "own": True,
        "C9": True,
        "about-deleted": None,
    }
