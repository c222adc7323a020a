"""Upgrades over HTTP, with the worker that carries them out (30 §15, 60 §11 to §13)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient

from core.config import Config
from core.couch.client import Couch, Database
from core.couch.ddocs import load_bundle
from core.prepare import prepare
from core.upgrades.log import MIRROR_ID, UpgradeLogs, new_log, states_of
from core.upgrades.runner import UpgradeRunner, utc_now
from core.upgrades.staging import STAGED, staged_docs
from tests.conftest import Background, eventually
from tests.upgrading import put_build, reached

Client = TestClient[Any, Any]
Log = Callable[[], Awaitable[Any]]

V1, V2 = "/api/v1/upgrade", "/api/v2/upgrade"
RUNNING = load_bundle()["medic"][0]["version"]
BROKEN = "function (doc) { emit(doc.type"


@pytest.fixture
def builds(config: Config) -> Path:
    folder = config.data / "builds"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
async def runner(couch: Couch, config: Config) -> AsyncIterator[Background]:
    """What carries upgrades out, as the worker does."""
    background = Background(run_upgrades, config)
    yield background
    await background.close()


async def run_upgrades(config: Config, stop: asyncio.Event) -> None:
    from core.couch.client import connect

    async with connect(config) as couch:
        work = asyncio.create_task(UpgradeRunner(couch, config).run(25))
        await asyncio.wait({work, asyncio.create_task(stop.wait())}, return_when=asyncio.FIRST_COMPLETED)
        if work.done():
            work.result()
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)


@pytest.fixture
def log(couch: Couch, config: Config) -> Log:
    """The log of the last upgrade."""
    return UpgradeLogs(couch.db(config.db_name("logs")), couch.db(config.database), utc_now).latest


async def ask(client: Client, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    answer = await client.request(method, path, json=body, headers={"Accept": "application/json"})
    return answer.status, await answer.json()


async def map_of(db: Database) -> str:
    ddoc = await db.get("_design/medic-client")
    return str(ddoc["views"]["contacts_by_type"]["map"])


async def mirrored(db: Database, state: str) -> Any:
    """`horti-upgrade`, which is written a moment after the log, once it tells of that state."""

    async def there() -> Any:
        doc = await db.get(MIRROR_ID)
        return doc if doc["state"] == state else None

    return await eventually(there)


async def test_a_build_is_staged_indexed_and_completed(
    client: Client, db: Database, builds: Path, runner: Background, log: Log
) -> None:
    body = put_build(builds, "9.1.0")
    await db.put({"_id": "p", "type": "person", "name": "Ama"})
    before = await map_of(db)

    staged = await ask(client, "POST", f"{V2}/stage", body)
    await reached(log, "indexed")
    waiting, mirror = await ask(client, "GET", V2), await mirrored(db, "indexed")
    names = {doc["_id"] for doc in await staged_docs(db)}
    assert await map_of(db) == before
    completed = await ask(client, "POST", f"{V2}/complete")
    done = await reached(log, "finalized")

    assert staged == completed == (200, {"ok": True})  # UPG-31, UPG-32
    assert waiting[1]["upgradeDoc"]["to"] == "9.1.0"  # UPG-33
    assert (mirror["action"], mirror["staged"], mirror["staging_complete"]) == ("stage", True, True)  # EP-UPG-4
    assert {STAGED + name for name in ("medic", "medic-client")} <= names  # UPG-14
    assert states_of(done) == [  # UPG-12
        *("initiated", "staged", "indexing", "indexed", "completing", "complete", "finalizing", "finalized"),
    ]
    assert (done["action"], done["from"], done["to"], done["user"]) == ("stage", RUNNING, "9.1.0", "admin")  # UPG-11
    assert "9.1.0" in await map_of(db)  # UPG-16
    assert await staged_docs(db) == []
    deployed = (await ask(client, "GET", "/api/deploy-info"))[1]
    assert (deployed["version"], deployed["upgrade_log_id"]) == ("9.1.0", done["_id"])
    assert "upgradeDoc" not in (await ask(client, "GET", V2))[1]
    mirror = await mirrored(db, "finalized")
    assert mirror["action"] == "complete"  # UPG-37
    assert [entry["key"] for entry in mirror["log"]] == [f"upgrade.{state}" for state in states_of(done)]


async def test_an_upgrade_is_stage_and_complete_in_one(
    client: Client, db: Database, builds: Path, runner: Background, log: Log
) -> None:  # EP-UPG-1, EP-UPG-3
    assert await ask(client, "POST", V1, put_build(builds, "9.1.0")) == (200, {"ok": True})

    assert (await db.get(MIRROR_ID))["action"] == "install"
    await reached(log, "finalized")
    assert "9.1.0" in await map_of(db)


async def test_an_upgrade_that_cht_left_unfinished_is_in_nobodys_way(
    client: Client, couch: Couch, config: Config, builds: Path, runner: Background, log: Log
) -> None:  # UPG-42
    left = {
        "_id": "upgrade_log:4000000000000:4.2.0",
        **{"user": "ann", "action": "stage", "from": "4.1.0", "to": "4.2.0", "state": "interrupted"},
        **{"start_date": 4000000000000, "updated_date": 4000000000000},
        "state_history": [{"state": "initiated", "date": 4000000000000}],
    }
    await couch.db(config.db_name("logs")).put(left)

    assert "upgradeDoc" not in (await ask(client, "GET", V2))[1]
    assert await ask(client, "POST", f"{V2}/stage", put_build(builds, "9.1.0")) == (200, {"ok": True})
    await reached(log, "indexed")


async def test_a_step_that_fails_unforeseen_ends_its_upgrade_alone(
    client: Client, couch: Couch, config: Config, builds: Path, runner: Background, log: Log
) -> None:
    body = put_build(builds, "9.1.0")
    without_user = new_log(4_000_000_000_000, "stage", "ann", RUNNING, body["build"])
    del without_user["user"]
    await couch.db(config.db_name("logs")).put(without_user)

    assert "user" in (await reached(log, "errored"))["error"]
    await ask(client, "POST", f"{V2}/stage", body)
    await reached(log, "indexed")


async def test_a_clock_that_was_ahead_keeps_nobody_from_upgrading(
    client: Client, couch: Couch, config: Config, builds: Path, runner: Background, log: Log
) -> None:
    info = {"namespace": "medic", "application": "medic", "version": "8.0.0"}
    ahead = new_log(4_000_000_000_000, "upgrade", "ann", "7.0.0", info)
    await couch.db(config.db_name("logs")).put({**ahead, "state": "finalized"})

    await ask(client, "POST", f"{V2}/stage", put_build(builds, "9.1.0"))
    waiting = await reached(log, "indexed")

    assert waiting["to"] == "9.1.0"
    assert waiting["start_date"] < 4_000_000_000_000


async def test_the_mirror_catches_up_with_a_log_whose_worker_died(
    client: Client, couch: Couch, config: Config, db: Database, builds: Path, log: Log
) -> None:  # UPG-37
    await ask(client, "POST", f"{V2}/stage", put_build(builds, "9.1.0"))
    logs_db, begun = couch.db(config.db_name("logs")), await log()
    await logs_db.put({**begun, "state": "errored", "error": "no room"})
    background = Background(run_upgrades, config)
    mirror = await mirrored(db, "errored")
    await background.close()

    assert mirror["error"] == "no room"


async def test_old_indexes_are_deleted(
    client: Client, couch: Couch, db: Database, builds: Path, runner: Background, log: Log
) -> None:
    await db.put({"_id": "p", "type": "person", "name": "Ama"})
    await db.view("medic-client", "contacts_by_type", limit=1)
    old = (await db.request("GET", "/_design/medic-client/_info"))["view_index"]["signature"]

    await ask(client, "POST", V2, put_build(builds, "9.1.0"))
    await reached(log, "finalized")

    info = (await db.request("GET", "/_design/medic-client/_info"))["view_index"]
    assert info["signature"] != old
    assert info["sizes"]["file"] > 0  # built before the exchange (UPG-15)


async def test_an_upgrade_is_aborted(
    client: Client, db: Database, builds: Path, runner: Background, log: Log
) -> None:  # UPG-19, UPG-34
    before = await map_of(db)
    await ask(client, "POST", f"{V2}/stage", put_build(builds, "9.1.0"))
    await reached(log, "indexed")

    aborted = await ask(client, "DELETE", V2)
    done = await reached(log, "aborted")

    assert aborted == (200, {"ok": True})
    assert states_of(done)[-2:] == ["aborting", "aborted"]
    assert await staged_docs(db) == []
    assert await map_of(db) == before
    assert await ask(client, "POST", f"{V2}/complete") == (
        404,
        {"code": 404, "error": "Cannot find a staged upgrade that is ready for completion"},
    )
    assert await ask(client, "DELETE", V2) == (200, {"ok": True})


async def test_a_second_start_is_409_while_one_is_unfinished(
    client: Client, builds: Path, runner: Background, log: Log
) -> None:  # EP-UPG-3, UPG-37
    body = put_build(builds, "9.1.0")
    await ask(client, "POST", f"{V1}/stage", body)
    await reached(log, "indexed")

    status, answer = await ask(client, "POST", f"{V1}/stage", body)

    assert status == 409
    assert "9.1.0 is unfinished (indexed)" in answer["error"]


async def test_of_two_starts_at_once_one_wins(client: Client, builds: Path, log: Log) -> None:
    bodies = [put_build(builds, version) for version in ("9.1.0", "9.2.0")]

    answers = await asyncio.gather(*(ask(client, "POST", f"{V2}/stage", body) for body in bodies))

    assert sorted(status for status, _ in answers) == [200, 409]


async def test_a_view_that_cannot_be_compiled_fails_the_upgrade_and_nothing_else(
    client: Client, db: Database, builds: Path, runner: Background, log: Log
) -> None:  # EP-UPG-7, UPG-20
    before = await map_of(db)
    await db.put({"_id": "p", "type": "person", "name": "Ama"})
    await ask(client, "POST", V2, put_build(builds, "9.1.0", BROKEN))

    done = await reached(log, "errored")

    assert "medic-client" in done["error"]
    mirror = await mirrored(db, "errored")
    assert (mirror["error"], mirror["log"][-1]["message"]) == (done["error"], done["error"])
    assert await map_of(db) == before
    await ask(client, "DELETE", V2)
    await reached(log, "aborted")
    assert await staged_docs(db) == []


async def test_a_killed_worker_is_followed_by_one_that_goes_on(
    client: Client, couch: Couch, config: Config, db: Database, builds: Path, log: Log
) -> None:  # UPG-12, UPG-23
    first = UpgradeRunner(couch, config)
    await ask(client, "POST", f"{V2}/stage", put_build(builds, "9.1.0"))
    for _ in range(2):  # as far as `indexing`
        await first.advance(await log())
    revs = {doc["_id"]: doc["_rev"] for doc in await staged_docs(db)}

    second = Background(run_upgrades, config)
    done = await reached(log, "indexed")
    await second.close()

    assert states_of(done) == ["initiated", "staged", "indexing", "interrupted", "indexing", "indexed"]
    assert {doc["_id"]: doc["_rev"] for doc in await staged_docs(db)} == revs


async def test_an_exchange_that_was_cut_off_is_finished_at_the_start(
    client: Client, couch: Couch, config: Config, db: Database, builds: Path, log: Log
) -> None:
    first = UpgradeRunner(couch, config)
    await ask(client, "POST", V2, put_build(builds, "9.1.0"))
    while (doc := await log())["state"] != "finalizing":
        await first.advance(doc)

    await prepare(couch, config)

    assert "9.1.0" in await map_of(db)
    assert await staged_docs(db) == []
    runner = Background(run_upgrades, config)
    await reached(log, "finalized")
    await runner.close()


async def test_a_start_leaves_the_build_that_was_deployed(
    client: Client, couch: Couch, config: Config, db: Database, builds: Path, runner: Background, log: Log
) -> None:
    await ask(client, "POST", V2, put_build(builds, "9.1.0"))
    await reached(log, "finalized")

    await prepare(couch, config)

    assert "9.1.0" in await map_of(db)


async def test_a_downgrade_is_allowed_and_warned_about(
    client: Client, db: Database, builds: Path, runner: Background, log: Log
) -> None:  # EP-UPG-6
    status, answer = await ask(client, "POST", V2, put_build(builds, "4.9.0"))

    assert (status, answer["warning"]) == (200, f"4.9.0 is older than {RUNNING}, which runs now")
    assert (await reached(log, "finalized"))["downgrade"] is True
    assert "4.9.0" in await map_of(db)


async def test_builds_are_listed(client: Client, builds: Path) -> None:
    for version in ("4.9.0", "9.1.0", "9.1.0-beta.1"):
        put_build(builds, version)

    status, found = await ask(client, "GET", f"{V2}/builds")

    assert status == 200
    assert [(each["version"], each["kind"], each["older"]) for each in found] == [
        ("9.1.0", "release", False),
        ("4.9.0", "release", True),
        ("9.1.0-beta.1", "beta", False),
    ]
    assert (await ask(client, "GET", V2))[1] == {"indexers": [], "buildsUrl": str(builds)}


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_comparison_tells_what_would_change(client: Client, db: Database, builds: Path, method: str) -> None:
    await db.put({"_id": "p", "type": "person", "name": "Ama"})
    await db.view("medic-client", "contacts_by_type", limit=1)

    status, found = await ask(client, method, f"{V2}/compare", put_build(builds, "9.1.0"))

    assert status == 200  # UPG-38
    (only,) = found
    assert only.pop("size") > 0
    assert only == {"type": ["views"], "ddoc": "_design/medic-client", "db": db.name, "indexing": True}


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (None, 400, "You must provide a build info body"),  # UPG-30, EP-UPG-2
        ({}, 400, "You must provide a build info body"),
        ([], 400, "You must provide a build info body"),
        ({"build": {"namespace": "medic", "version": "1"}}, 400, "Invalid build info"),  # UPG-13
        ({"build": {"namespace": "medic", "application": "medic", "version": "../x"}}, 400, "`version` must be"),
        ({"build": {"namespace": "medic", "application": "medic", "version": "9.9.9"}}, 404, "medic:medic:9.9.9"),
    ],
)
async def test_what_cannot_be_upgraded_to_is_refused(client: Client, body: Any, status: int, words: str) -> None:
    for path in (V1, f"{V2}/stage", f"{V2}/compare"):
        answer = await ask(client, "POST", path, body)

        assert answer[0] == status
        assert words in answer[1]["error"]


async def test_force_must_be_a_boolean(client: Client, builds: Path) -> None:
    status, answer = await ask(client, "POST", V2, {**put_build(builds, "9.1.0"), "force": "yes"})

    assert (status, answer["error"]) == (400, "`force` must be true or false")


async def test_whether_a_supervisor_is_there_is_told(client: Client) -> None:  # UPG-35
    assert await ask(client, "GET", f"{V2}/can-upgrade") == (200, {"ok": False})


async def test_who_may_neither_upgrade_nor_configure_is_refused(client: Client, make_user: Any, builds: Path) -> None:
    chw, officer = await make_user("chw", roles=["chw"]), await make_user("officer", roles=["program_officer"])
    body = put_build(builds, "9.1.0")

    refused = await client.post(V2, json=body, headers=chw)
    taken = await client.post(V2, json=body, headers=officer)

    assert (refused.status, taken.status) == (403, 200)
