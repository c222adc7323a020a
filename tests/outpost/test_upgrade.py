"""An upgrade of a whole deployment while phones and a gateway go on: nobody notices (60 §12, UPG-21)."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from tests.conftest import eventually
from tests.outpost.branch import district
from tests.outpost.conftest import Deployment
from tests.outpost.traffic import PASSWORD, Traffic
from tests.upgrading import put_build

V2 = "/api/v2/upgrade"
REPLACED = ("index", "worker[0]", "worker[1]", "sentinel")


@pytest.fixture(scope="module")
def user(deployment: Deployment) -> tuple[str, str]:
    """An offline user of health center 0 of a small district."""
    return asyncio.run(load(deployment))


async def load(deployment: Deployment) -> tuple[str, str]:
    name = f"asha-{deployment.database[-4:]}"
    async with deployment.http() as http:
        await http.post(f"/{deployment.database}/_bulk_docs", json={"docs": district(reports=200)})
        account = {"username": name, "password": PASSWORD, "roles": ["chw"], "place": "hc0", "contact": "chw0"}
        answer = await http.post("/api/v1/users", json=account)
        assert answer.status_code == 200, answer.text
    return name, PASSWORD


async def last_log(http: httpx.AsyncClient, database: str) -> Any:
    query = {"startkey": '"upgrade_log:~"', "endkey": '"upgrade_log:"', "descending": "true", "limit": "1"}
    answer = await http.get(f"/{database}-logs/_all_docs", params={**query, "include_docs": "true"})
    return answer.json()["rows"][0]["doc"]


async def test_an_upgrade_replaces_every_process_and_no_request_fails(
    deployment: Deployment, user: tuple[str, str]
) -> None:
    builds = deployment.data / "outpost" / "builds"
    builds.mkdir()
    before = {name: deployment.pids(name)[-1] for name in (*REPLACED, "store") if deployment.pids(name)}
    traffic = Traffic(deployment.url, deployment.database, deployment.admin, user)
    async with deployment.http() as http, traffic.running():
        assert (await http.get(f"{V2}/can-upgrade")).json() == {"ok": True}  # UPG-35
        answer = await http.post(V2, json=put_build(builds, "9.1.0"))
        assert answer.json() == {"ok": True}, answer.text

        async def replaced() -> bool:
            return "replaced" in await last_log(http, deployment.database)

        await eventually(replaced, 100)
        version = (await http.get("/api/deploy-info")).json()["version"]

    after = {name: deployment.pids(name)[-1] for name in before}
    assert version == "9.1.0"
    assert {name for name in before if before[name] != after[name]} == set(REPLACED)
    assert traffic.failures == []
    async with deployment.http() as http:
        assert await traffic.lost(http) == []
    assert len(traffic.written) > 10
    assert traffic.messages


async def test_a_worker_that_is_killed_leaves_nobody_refused(deployment: Deployment) -> None:
    """Its share of the connections waits for the next one."""
    await deployment.kill("worker[0]")

    async with deployment.http() as http:
        answers = await asyncio.gather(*(http.get("/api/info", headers={"Connection": "close"}) for _ in range(20)))

    assert {answer.status_code for answer in answers} == {200}
