"""POST /api/v1/archive (EP-OTH-5, 40 §13)."""

from __future__ import annotations

from typing import Any

import pytest
from aiohttp.test_utils import TestClient

from core.config import Config
from core.couch.client import Couch

Client = TestClient[Any, Any]
CSV = {"Content-Type": "text/csv"}


async def test_a_job_is_kept_for_the_worker(client: Client, couch: Couch, config: Config) -> None:  # EP-OTH-5, ARC-1
    answer = await client.post("/api/v1/archive", data='a\n"b"\r\n\n  c  \na\n', headers=CSV)
    [job] = (await answer.json())["jobs"]

    assert (answer.status, job["count"]) == (202, 3)
    sentinel_db = couch.db(config.db_name("sentinel"))
    stored = await sentinel_db.get(job["id"])
    assert job["id"].startswith("archive:")
    assert {name: stored[name] for name in ("total", "cursor", "error_count", "history")} == {
        "total": 3,
        "cursor": 0,
        "error_count": 0,
        "history": [],
    }  # MOD-102
    assert await sentinel_db.attachment(job["id"], "ids", stored["_rev"]) == b"a\nb\nc"


async def test_many_ids_are_several_jobs(client: Client) -> None:  # ARC-1
    answer = await client.post("/api/v1/archive", data="\n".join(map(str, range(100_001))), headers=CSV)

    assert [job["count"] for job in (await answer.json())["jobs"]] == [100_000, 1]


@pytest.mark.parametrize(
    ("body", "kind", "status", "error"),
    [
        (b' \n""\n', "text/csv", 400, "No valid doc IDs found in request body"),
        (b"\xff", "text/csv", 400, "UTF-8"),
        (b"a", "text/plain", 415, "text/csv"),
    ],
)
async def test_what_is_no_list_of_ids_is_refused(
    client: Client, body: bytes, kind: str, status: int, error: str
) -> None:  # EP-OTH-5
    answer = await client.post("/api/v1/archive", data=body, headers={"Content-Type": kind})

    assert answer.status == status
    assert error in await answer.text()


async def test_archiving_is_for_administrators(client: Client, make_user: Any) -> None:  # EP-OTH-5
    officer = await make_user("officer", roles=["program_officer"])
    answer = await client.post("/api/v1/archive", data="a", headers={**officer, **CSV})

    assert (answer.status, await answer.text()) == (403, "Insufficient permissions")
