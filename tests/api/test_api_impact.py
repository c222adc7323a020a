"""GET /api/v1/impact."""

from __future__ import annotations

from typing import Any

from aiohttp.test_utils import TestClient

from core.couch.client import Database
from core.impact import measure_impact
from core.settings import Settings
from tests.api.family import FAMILY

Client = TestClient[Any, Any]


async def test_everything_is_counted(client: Client, db: Database, make_user: Any) -> None:
    await db.bulk_docs(
        [*FAMILY, {"_id": "m", "type": "data_record"}, {"_id": "w", "type": "contact", "contact_type": "w"}]
    )
    before = (await (await client.get("/api/v1/impact")).json())["users"]["count"]
    clerk = await make_user("clerk", roles=["data_entry"])
    answer = await client.get("/api/v1/impact", headers=clerk)

    body = await answer.json()
    assert (answer.status, body["users"]["count"] > before - 1) == (200, True)  # EP-IMP-1; others share `_users`
    assert body["contacts"] == {
        "count": 7,
        "by_type": [
            {"type": "clinic", "count": 1},
            {"type": "district_hospital", "count": 1},
            {"type": "health_center", "count": 1},
            {"type": "person", "count": 4},
        ],
    }
    assert body["reports"] == {"count": 1, "by_form": [{"form": "visit", "count": 1}]}


async def test_a_part_that_fails_is_zero(db: Database) -> None:
    await db.bulk_docs(FAMILY)
    ddoc = await db.get("_design/medic-client")
    del ddoc["views"]["reports_by_form"]
    await db.put(ddoc)

    impact = await measure_impact(db, Settings())

    assert impact["contacts"]["count"] == 7
    assert impact["reports"] == {"count": 0, "by_form": []}  # EP-IMP-1


async def test_impact_is_for_online_users(client: Client, make_user: Any) -> None:
    chw = await make_user("chw", roles=["chw"])
    offline = await client.get("/api/v1/impact", headers=chw)
    anonymous = await client.get("/api/v1/impact", headers={"Authorization": "", "Accept": "application/json"})

    assert (offline.status, anonymous.status) == (403, 401)  # 10 §5.3
