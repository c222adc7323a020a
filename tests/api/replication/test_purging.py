"""Documents purged for a set of roles: gone from its lists and feeds, and told by get-deletes (20 §8)."""

from __future__ import annotations

from typing import Any

import pytest

from core.config import Config
from core.couch.client import Couch, Database
from core.purging import purge_db_prefix, role_set_hash
from tests.api.replication.conftest import C1, clinic, report
from tests.conftest import eventually


def listed(answer: dict[str, Any]) -> set[str]:
    return {row["id"] for row in answer["doc_ids_revs"]}


@pytest.fixture
async def chw_purges(couch: Couch, config: Config) -> Database:
    """The purge database of asha's roles."""
    db = couch.db(purge_db_prefix(config.database) + str(role_set_hash(["chw"])))
    await db.create()
    return db


def test_role_set_hashes_are_those_of_other_implementations() -> None:
    # 40 V-4
    assert role_set_hash(["chw"]) == "dc6aef2f5bbad17a51df3cbf5eea105a"
    assert role_set_hash(["supervisor", "district_admin", "district_admin"]) == "4d31f0c58d9a8174923cc8aef367239b"
    assert role_set_hash([]) is None  # REPL-57


async def test_a_purged_document_leaves_the_lists_of_its_role_set_only(district: Any, chw_purges: Database) -> None:
    # REPL-52, REPL-56
    before = await district.get_ids()
    await chw_purges.bulk_docs([{"_id": "purged:R1"}, {"_id": "purged:P1"}, {"_id": "purged:foreign"}])

    async def hidden() -> dict[str, Any] | None:
        found: dict[str, Any] = await district.get_ids()
        return found if "R1" not in listed(found) else None

    after = await eventually(hidden)
    assert listed(before) - listed(after) == {"R1", "P1"}
    assert after["warn_docs"] == before["warn_docs"] - 2
    assert "R2" in listed(await district.get_ids(district.sue))


async def test_a_document_that_is_purged_no_longer_is_listed_again(district: Any, chw_purges: Database) -> None:
    # PRG-11
    rev = await chw_purges.put({"_id": "purged:R1"})

    async def is_listed() -> bool:
        return "R1" in listed(await district.get_ids())

    async def is_hidden() -> bool:
        return not await is_listed()

    await eventually(is_hidden)
    await chw_purges.delete("purged:R1", rev)
    await eventually(is_listed)
    await chw_purges.put({"_id": "purged:R2"})

    async def r2_is_listed() -> bool:
        return "R2" in listed(await district.get_ids())

    async def r2_is_hidden() -> bool:
        return not await r2_is_listed()

    await eventually(r2_is_hidden)
    await chw_purges.delete_database()
    await eventually(r2_is_listed)  # REPL-57


async def test_get_deletes_tells_of_purged_documents_at_once(district: Any, chw_purges: Database) -> None:
    # REPL-90, REPL-92
    await chw_purges.put({"_id": "purged:R1"})
    rev = await chw_purges.put({"_id": "purged:R2"})
    await chw_purges.delete("purged:R2", rev)
    body = {"doc_ids": ["R1", "R2", "never", "R1"]}

    answers = [
        await district.client.post("/api/v1/replication/get-deletes", json=body, headers=user)
        for user in (district.asha, district.sue)
    ]

    assert [await each.json() for each in answers] == [{"doc_ids": ["R1"]}, {"doc_ids": []}]


async def test_a_feed_never_reports_purged_documents(district: Any, chw_purges: Database) -> None:
    # REPL-78, REPL-62: marked before it came into her sight
    await chw_purges.bulk_docs([{"_id": "purged:R1"}, {"_id": "purged:later"}, {"_id": "purged:C3"}])

    async def hidden() -> bool:
        return "R1" not in listed(await district.get_ids())

    await eventually(hidden)
    since = (await district.json("GET", "_changes"))["last_seq"]
    await district.db.bulk_docs([report("later", C1, patient_id="60001"), report("seen", C1, patient_id="60001")])
    await district.db.put(clinic("C3", {"_id": "H1", "parent": {"_id": "D1"}}, "50003"))

    whole = await district.json("GET", "_changes")
    news = await district.json("GET", f"_changes?since={since}")

    assert not {"R1", "later", "C3"} & {row["id"] for row in whole["results"]}
    assert [row["id"] for row in news["results"]] == ["seen"]


async def test_marks_of_a_purge_database_that_is_made_again_do_not_stay(
    district: Any, couch: Couch, config: Config, chw_purges: Database, indexer: Any
) -> None:
    # REPL-57: between two looks at it
    await chw_purges.put({"_id": "purged:R1"})

    async def hides(*ids: str) -> bool:
        return {"R1", "R2"} - listed(await district.get_ids()) == set(ids)

    await eventually(lambda: hides("R1"))
    await chw_purges.delete_database()
    await chw_purges.create()
    await chw_purges.bulk_docs([{"_id": "purged:R2"}, {"_id": "purged:foreign"}])

    await eventually(lambda: hides("R2"))
