"""Upgrade a database under the traffic of phones and an SMS gateway, and look whether anybody noticed.

    .venv/bin/python scripts/bench/upgrade.py [--docs 50000]
    COUCH_URL=http://admin:secret@127.0.0.1:5984 .venv/bin/python scripts/bench/upgrade.py   # on CouchDB

A build is staged; the worker is killed (SIGKILL) in the middle of the indexing, and the next one goes on; then it is
completed, and every process replaced. Another build is aborted in the middle. An older one is deployed. At last,
without traffic, everything is killed in the middle of an indexing and started again. Exits 1 when a request failed,
something that was acknowledged is not there, or an old index is left.
"""

# ruff: noqa: E402

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

# Started by its path, this file would be found in place of the package of the same name.
sys.path[0] = str(Path(__file__).parents[2])

from core.couch.ddocs import load_bundle
from tests.conftest import eventually
from tests.outpost.branch import district
from tests.outpost.conftest import Deployment, remove
from tests.outpost.traffic import PASSWORD, Traffic
from tests.upgrading import put_build

V2 = "/api/v2/upgrade"
BATCH = 500
LONG_S = 1_800
# A slow build, so that there is a middle to be cut: what a programme with many indicators has.
SLOW = "function (doc) { for (var i = 0; i < 20; i++) { emit([doc.type, i, JSON.stringify(doc).length]); } }"


class Run:
    """One deployment, its administrator's client, and what went wrong."""

    def __init__(self, deployment: Deployment, http: httpx.AsyncClient) -> None:
        self.deployment = deployment
        self.http = http
        self.builds = deployment.data / "outpost" / "builds"
        self.started_s = time.monotonic()
        self.problems: list[str] = []

    def say(self, text: str) -> None:
        print(f"{time.monotonic() - self.started_s:7.1f} s  {text}", flush=True)

    def check(self, holds: bool, what: str) -> None:
        self.say(f"{'ok  ' if holds else 'BAD '} {what}")
        if not holds:
            self.problems.append(what)

    async def load(self, docs: int) -> tuple[str, str]:
        made = district(clinics=docs // 50, reports=docs - docs // 25)
        for start in range(0, len(made), BATCH):
            answer = await self.http.post(
                f"/{self.deployment.database}/_bulk_docs", json={"docs": made[start : start + BATCH]}
            )
            assert answer.status_code == 201, answer.text[:500]
        name = f"asha-{self.deployment.database[-4:]}"
        account = {"username": name, "password": PASSWORD, "roles": ["chw"], "place": "hc0", "contact": "chw0"}
        answer = await self.http.post("/api/v1/users?force=true", json=account)
        assert answer.status_code == 200, answer.text
        for ddoc in load_bundle()["medic"]:
            for view in list(ddoc["views"])[:1]:
                path = f"/{self.deployment.database}/{ddoc['_id']}/_view/{view}"
                assert (await self.http.get(path, params={"limit": 1}, timeout=LONG_S)).status_code == 200
        return name, PASSWORD

    async def log(self) -> Any:
        query = {"startkey": '"upgrade_log:~"', "endkey": '"upgrade_log:"', "descending": "true", "limit": "1"}
        path = f"/{self.deployment.database}-logs/_all_docs"
        rows = (await self.http.get(path, params={**query, "include_docs": "true"})).json()["rows"]
        return rows[0]["doc"] if rows else None

    async def reach(self, condition: Callable[[Any], bool], what: str) -> Any:
        async def there() -> Any:
            log = await self.log()
            assert log["state"] != "errored", log
            return log if condition(log) else None

        log = await eventually(there, LONG_S)
        self.say(what)
        return log

    async def start(self, path: str, version: str) -> Any:
        body = await asyncio.to_thread(put_build, self.builds, version, SLOW)
        answer = await self.http.post(path, json={**body, "force": True})
        assert answer.status_code == 200, answer.text
        self.say(f"POST {path} {version}: {answer.json()}")
        return answer.json()

    async def until_half_built(self) -> None:
        async def in_the_middle() -> bool:
            status = (await self.http.get(V2)).json()
            assert status["upgradeDoc"]["state"] != "indexed", "indexed too fast to be cut: take more documents"
            indexers = status["indexers"]
            return any(5 <= each["progress"] < 95 and each["tasks"] for each in indexers)

        await eventually(in_the_middle, LONG_S)
        told = [
            (each["ddoc"], each["progress"], each["remaining_s"])
            for each in (await self.http.get(V2)).json()["indexers"]
        ]
        self.say(f"indexing: {told}")

    async def signature(self) -> str:
        info = await self.http.get(f"/{self.deployment.database}/_design/medic-client/_info")
        return str(info.json()["view_index"]["signature"])

    async def index_files(self, signature: str) -> list[str] | None:
        """Files of an index; None where CouchDB's folder is not on this machine."""
        name = self.deployment.database
        couch_url = self.deployment.env.get("COUCH_URL", "").rpartition("/")[0]
        folder = self.deployment.data / "outpost" / "store"
        if couch_url:
            async with httpx.AsyncClient(base_url=couch_url) as couch:
                folder = Path((await couch.get("/_node/_local/_config/couchdb/view_index_dir")).json())
            if not folder.is_dir():
                return None
        found = await asyncio.to_thread(lambda: [str(path) for path in folder.rglob(f"*{signature}*")])
        return [path for path in found if name in path]


async def measure(run: Run, docs: int) -> None:
    deployment = run.deployment
    run.builds.mkdir()
    user = await run.load(docs)
    run.say(f"{docs} documents and their indexes")
    old = await run.signature()
    traffic = Traffic(deployment.url, deployment.database, deployment.admin, user)
    async with traffic.running():
        await run.start(f"{V2}/stage", "9.1.0")
        await run.until_half_built()
        await deployment.kill("sentinel")
        run.say("SIGKILL to the worker")
        log = await run.reach(lambda log: log["state"] == "indexed", "indexed")
        states = [each["state"] for each in log["state_history"]]
        run.check("interrupted" in states, f"the log tells each step: {states}")
        answer = await run.http.post(f"{V2}/complete")
        assert answer.status_code == 200, answer.text
        log = await run.reach(lambda log: bool(log.get("replaced")), "completed, every process replaced")
        run.say(f"steps: {steps(log)}")
        run.check((await run.index_files(old)) in (None, []), "the old index is deleted")
        new = await run.signature()
        run.check(new != old, "the new index is in use")

        await run.start(f"{V2}/stage", "9.2.0")
        await run.until_half_built()
        answer = await run.http.delete(V2)
        assert answer.status_code == 200, answer.text
        log = await run.reach(lambda log: log["state"] == "aborted", "aborted")
        run.check(await run.signature() == new, f"nothing changed: {[each['state'] for each in log['state_history']]}")

        warning = (await run.start(V2, "4.9.0")).get("warning")
        run.check(bool(warning), f"warned: {warning}")
        log = await run.reach(lambda log: bool(log.get("replaced")), "downgraded, every process replaced")
        run.say(f"steps: {steps(log)}")
    run.check(traffic.failures == [], f"{len(traffic.failures)} of {traffic.requests} requests failed")
    print("\n".join(traffic.failures[:10]))
    lost = await traffic.lost(run.http)
    run.check(lost == [], f"{len(lost)} of {len(traffic.written) + len(traffic.messages)} writes lost")
    run.say(f"the slowest request took {traffic.longest_s:.1f} s")

    await run.start(f"{V2}/stage", "9.3.0")
    await run.until_half_built()
    assert deployment.process is not None
    deployment.process.send_signal(signal.SIGKILL)
    deployment.process.wait()
    run.say("SIGKILL to the supervisor, and so to all")
    await eventually(deployment.is_gone, 60)
    await asyncio.to_thread(deployment.start)
    log = await run.reach(lambda log: log["state"] == "indexed", "started again, and indexed")
    run.check("interrupted" in [each["state"] for each in log["state_history"]], f"steps: {steps(log)}")


def steps(log: Any) -> str:
    history = log["state_history"]
    begun = history[0]["date"]
    return ", ".join(f"{each['state']} +{(each['date'] - begun) / 1000:.1f} s" for each in history)


async def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--docs", type=int, default=50_000)
    arguments = parser.parse_args()
    couch_url = os.environ.get("COUCH_URL", "").rstrip("/") or None
    with tempfile.TemporaryDirectory() as folder:
        deployment = Deployment(Path(folder) / "deployment", couch_url)
        print(f"{datetime.now(UTC):%Y-%m-%d} {'CouchDB' if couch_url else 'embedded store'}", flush=True)
        try:
            await asyncio.to_thread(deployment.start)
            async with deployment.http() as http:
                http.timeout = httpx.Timeout(120)
                run = Run(deployment, http)
                await measure(run, arguments.docs)
            deployment.stop()
        except BaseException:
            print(deployment.log[-6000:])
            raise
        finally:
            deployment.end()
            if couch_url:
                await asyncio.to_thread(remove, couch_url, deployment.database)
    print("\n".join(run.problems) or "nobody noticed")
    return 1 if run.problems else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
