"""`/purging` and what is below it, by which older phones learn what was purged (REPL-63a..c)."""

from __future__ import annotations

from typing import Any

import pytest

from core.config import Config
from core.couch.client import Couch, Database
from core.purging import purge_db_prefix, role_set_hash

PHONE = {"medic-replication-id": "phone 1/2"}  # PROXY-34


@pytest.fixture
async def chw_purges(couch: Couch, config: Config) -> Database:
    """The purge database of asha's roles."""
    db = couch.db(purge_db_prefix(config.database) + str(role_set_hash(["chw"])))
    await db.create()
    return db


async def get(district: Any, path: str, user: Any = None, **headers: str) -> Any:
    response = await district.client.get(path, headers={**(user or district.asha), **headers})
    return response.status, await response.json(content_type=None)


async def purged(district: Any, query: str = "", user: Any = None) -> Any:
    status, body = await get(district, f"/purging/changes{query}", user, **PHONE)
    assert status == 200
    return body


async def mark(db: Database, *ids: str) -> None:
    for doc_id in ids:
        await db.put({"_id": f"purged:{doc_id}"})


async def indexed(district: Any) -> None:
    await district.get_ids()


async def test_information_on_the_marks_of_the_callers_roles(district: Any, chw_purges: Database) -> None:
    # REPL-63a, EP-OTH-8
    await mark(chw_purges, "R1")

    asha = await get(district, "/purging")
    sue = await get(district, "/purging", district.sue)

    assert asha[0] == 200
    assert asha[1]["update_seq"] == (await chw_purges.info())["update_seq"]
    assert sue == (200, False)


async def test_only_the_callers_own_purged_documents_are_told(district: Any, chw_purges: Database) -> None:
    # REPL-63b
    await indexed(district)
    await mark(chw_purges, "R1", "R6", "P1", "never", "R2")
    await chw_purges.delete("purged:R2", (await chw_purges.get("purged:R2"))["_rev"])
    await chw_purges.put({"_id": "_design/x"})

    assert sorted((await purged(district))["purged_ids"]) == ["P1", "R1"]
    assert await purged(district, user=district.sue) == {}


async def test_pages_go_on_from_the_checkpoint(district: Any, chw_purges: Database) -> None:
    await indexed(district)
    await mark(chw_purges, "R6", "R1", "C2", "R2", "R4", "R6b")
    seen: list[str] = []

    for _ in range(3):
        page = await purged(district, "?limit=2")
        seen += page["purged_ids"]
        stored = await get(district, f"/purging/checkpoint?seq={page['last_seq']}", **PHONE)
        assert stored == (200, {"success": True})  # REPL-63c
    await mark(chw_purges, "P1")
    news = await purged(district)
    other_phone = await get(district, "/purging/changes", **{"medic-replication-id": "phone 2"})

    assert sorted(seen) == ["R1", "R2", "R4"]
    assert news["purged_ids"] == ["P1"]
    assert len(other_phone[1]["purged_ids"]) == 4


async def test_a_checkpoint_of_now_passes_all_there_is(district: Any, chw_purges: Database) -> None:
    await indexed(district)
    await mark(chw_purges, "R1")

    stored = await get(district, "/purging/checkpoint?seq=now", **PHONE)

    assert stored == (200, {"success": True})
    assert (await purged(district))["purged_ids"] == []


async def test_checkpoints_of_another_database_begin_again(district: Any, chw_purges: Database) -> None:
    await indexed(district)
    await mark(chw_purges, "R1")
    await get(district, "/purging/checkpoint?seq=no-such-sequence", **PHONE)

    assert (await purged(district))["purged_ids"] == ["R1"]


async def test_nobody_moves_the_checkpoint_of_another_user_or_the_databases_own_notes(
    district: Any, chw_purges: Database, make_user: Any
) -> None:
    await indexed(district)
    await chw_purges.put({"_id": "_local/info", "roles": ["chw"]})
    await mark(chw_purges, "R1")
    other = await make_user("other", roles=["chw"], facility_id="H1", contact_id="A1")
    await get(district, "/purging/checkpoint?seq=now", other, **PHONE)
    await get(district, "/purging/checkpoint?seq=now", **{"medic-replication-id": "info"})

    assert (await purged(district))["purged_ids"] == ["R1"]
    assert (await chw_purges.get("_local/info"))["roles"] == ["chw"]


@pytest.mark.parametrize(
    ("path", "headers", "reason"),
    [
        ("checkpoint?seq=now", {}, "Missing required header medic-replication-id"),
        ("checkpoint", PHONE, "Missing required parameter seq"),
        ("changes", {}, "Missing required header medic-replication-id"),
    ],
)
async def test_what_is_missing_is_told(district: Any, path: str, headers: Any, reason: str) -> None:
    response = await district.client.get(
        f"/purging/{path}", headers={**district.asha, "Accept": "application/json", **headers}
    )

    assert response.status == 400
    assert (await response.json())["error"] == reason


async def test_without_a_purge_database_there_is_nothing(district: Any) -> None:
    assert await get(district, "/purging") == (200, False)
    assert await purged(district) == {}
    assert await get(district, "/purging/checkpoint?seq=now", **PHONE) == (200, {"success": True})


@pytest.mark.parametrize("path", ["/purging", "/purging/changes", "/purging/checkpoint"])
async def test_online_users_find_no_purge_endpoints(district: Any, path: str, make_user: Any) -> None:
    boss = await make_user("boss", roles=["national_admin"])

    response = await district.client.get(path, headers=boss)

    assert response.status == 404
