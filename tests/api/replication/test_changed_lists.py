"""get-ids?since=: what leads from the list of an earlier answer to the one now (REPL-147)."""

from __future__ import annotations

from typing import Any

from core.config import Config
from tests.api.replication.conftest import A1, D1, report
from tests.conftest import serving

GET_IDS = "/api/v1/replication/get-ids"


async def changes(district: Any, since: str, user: Any = None, client: Any = None) -> dict[str, Any]:
    await district.level()
    answer = await (client or district.client).get(GET_IDS, params={"since": since}, headers=user or district.asha)
    assert answer.status == 200, await answer.text()
    found: dict[str, Any] = await answer.json()
    return found


async def whole(district: Any) -> dict[str, str]:
    return {each["id"]: each["rev"] for each in (await district.get_ids())["doc_ids_revs"]}


def applied(before: dict[str, str], change: dict[str, Any]) -> dict[str, str]:
    kept = {} if change["full"] else {name: rev for name, rev in before.items() if name not in change["removed"]}
    return kept | {each["id"]: each["rev"] for each in change["added"]}


async def test_the_first_answer_has_everything(district: Any) -> None:
    first = await changes(district, "")

    assert (first["full"], first["removed"], first["limit"]) == (True, [], 10000)
    assert applied({}, first) == await whole(district)


async def test_later_answers_have_what_was_added_edited_deleted_and_lost(district: Any) -> None:
    first = await changes(district, "")
    before = applied({}, first)
    await district.db.put(report("new", A1, patient_id="60001"))
    await district.db.put({**await district.db.get("R1"), "edited": True})
    await district.db.delete("R2", (await district.db.get("R2"))["_rev"])
    await district.db.put({**await district.db.get("C1"), "parent": {"_id": "H2", "parent": D1}})
    second = await changes(district, first["last_seq"])

    assert second["full"] is False
    assert {"R2", "C1"} <= set(second["removed"])
    assert "H1" not in {each["id"] for each in second["added"]}
    assert applied(before, second) == await whole(district)


async def test_without_a_change_there_is_nothing_to_tell(district: Any) -> None:
    first = await changes(district, "")
    await district.db.put(report("foreign", A1, patient_id="C2"))
    second = await changes(district, first["last_seq"])

    assert (second["full"], second["added"], second["removed"]) == (False, [], [])


async def test_an_answer_that_was_lost_is_asked_for_again(district: Any, config: Config) -> None:
    first = await changes(district, "")
    before = applied({}, first)
    for number in range(3):
        await district.db.put(report(f"new{number}", A1, patient_id="60001"))
        await changes(district, first["last_seq"])
    async with serving(config) as other:  # another process of the machine
        again = await changes(district, first["last_seq"], client=other)

    assert again["full"] is False
    assert applied(before, again) == await whole(district)


async def test_what_is_no_list_of_the_users_is_answered_with_everything(district: Any, config: Config) -> None:
    first = await changes(district, "")
    sues = await changes(district, "", district.sue)
    odd = [sues["last_seq"], "0", "1-abc", (await district.get_ids())["last_seq"], "~" * 3000, "~" + "0" * 32, "\u00e9"]

    assert [(await changes(district, each))["full"] for each in odd] == [True] * len(odd)

    await district.db.put(report("new", A1, patient_id="60001"))
    config.kept_lists.unlink()
    lost = await changes(district, first["last_seq"])
    assert lost["full"] is True
    assert applied({}, lost) == await whole(district)


async def test_a_feed_goes_on_from_such_an_answer(district: Any) -> None:
    first = await changes(district, "")
    await district.db.put(report("new", A1, patient_id="60001"))
    feed = await district.json("GET", f"_changes?since={first['last_seq'].replace('~', '%7E')}")

    assert [row["id"] for row in feed["results"]] == ["new"]
