"""Design documents at a start: installed where they are missing, indexed before they replace others (60 §11, §14)."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from core.config import Config
from core.couch.client import Couch, Database, Doc
from core.couch.ddocs import load_bundle
from core.errors import DomainError
from core.migrations import DONE_ELSEWHERE, LOG_ID, Migration, migrate
from core.prepare import prepare
from core.upgrades.log import UpgradeLogs, states_of
from core.upgrades.runner import UpgradeRunner, utc_now
from core.upgrades.staging import stage_in, staged_docs
from tests.upgrading import put_build

VERSION = load_bundle()["medic"][0]["version"]


async def steps_of_start(couch: Couch, config: Config) -> list[str]:
    steps: list[str] = []
    await prepare(couch, config, steps.append)
    return steps


async def make_foreign(db: Database) -> None:
    """The database of another version: a view of it is another, and one is not there."""

    def change(doc: Doc | None) -> Doc:
        assert doc is not None
        views = {**doc["views"], "contacts_by_type": {"map": "function (doc) { emit(doc.type); }"}}
        return {**doc, "views": views, "version": "4.2.0", "digest": "of another", "deploy_info": {}}

    await db.update("_design/medic-client", change)


async def signature(db: Database, name: str) -> tuple[str, int]:
    index = (await db.request("GET", f"/_design/{name}/_info"))["view_index"]
    return index["signature"], index["sizes"]["file"]


async def test_a_fresh_installation_has_a_log(couch: Couch, config: Config) -> None:  # UPG-5
    logs = UpgradeLogs(couch.db(config.db_name("logs")), couch.db(config.database), utc_now)

    log = await logs.latest()

    assert log is not None
    assert (log["action"], log["to"], log["state"]) == ("install", VERSION, "finalized")
    ddoc = await couch.db(config.database).get("_design/medic")
    assert ddoc["deploy_info"]["upgrade_log_id"] == log["_id"]  # DDOC-2


async def test_a_start_with_nothing_to_install_writes_nothing(couch: Couch, config: Config, db: Database) -> None:
    logs_db = couch.db(config.db_name("logs"))
    before = [(await each.info())["update_seq"] for each in (db, logs_db)]

    assert "index" not in await steps_of_start(couch, config)  # UPG-3

    assert [(await each.info())["update_seq"] for each in (db, logs_db)] == before


async def test_a_start_on_another_version_builds_its_indexes_first(
    couch: Couch, config: Config, db: Database
) -> None:  # UPG-5, UPG-42
    await make_foreign(db)
    await db.put({"_id": "_design/theirs", "views": {}})
    await db.put({"_id": "p", "type": "person", "name": "Ama"})

    assert "index" in await steps_of_start(couch, config)

    assert (await db.get("_design/medic-client"))["version"] == VERSION
    assert (await signature(db, "medic-client"))[1] > 0  # before anybody has asked
    assert await staged_docs(db) == []
    assert await db.find("_design/theirs") is not None  # UPG-6


async def test_what_is_staged_already_is_exchanged_at_the_start(
    couch: Couch, config: Config, db: Database
) -> None:  # UPG-4
    await make_foreign(db)
    await stage_in(db, load_bundle()["medic"], {"user": "maria"})

    await prepare(couch, config)

    ddoc = await db.get("_design/medic-client")
    assert (ddoc["version"], ddoc["deploy_info"]["user"]) == (VERSION, "admin")
    assert await staged_docs(db) == []


async def test_a_programs_own_build_staged_before_it_was_installed_is_finished_by_its_start(
    couch: Couch, config: Config, db: Database
) -> None:  # UPG-4
    builds = config.data / "builds"
    builds.mkdir()
    runner = UpgradeRunner(couch, config)
    put_build(builds, "4.2.0")
    body = {"build": {"namespace": "medic", "application": "medic", "version": VERSION}}
    from core.upgrades.builds import make_build
    from core.upgrades.sources import open_builds

    await open_builds(config).add(make_build())
    await make_foreign(db)
    await runner.upgrades.start("stage", body, "admin")
    while (log := await runner.logs.current()) and log["state"] != "indexed":
        await runner.advance(log)

    await prepare(couch, config)
    assert (await db.get("_design/medic-client"))["version"] == VERSION
    while log := await runner.logs.current():
        await runner.advance(log)
    latest = await runner.logs.latest()
    assert latest is not None
    assert states_of(latest)[-4:] == ["completing", "complete", "finalizing", "finalized"]


async def test_rules_of_writing_hold_only_from_the_exchange_on(db: Database) -> None:
    rule = "function () { throw({forbidden: 'nobody'}); }"

    await stage_in(db, [{"_id": "_design/strict", "validate_doc_update": rule, "digest": "x"}], {})

    await db.put({"_id": "p", "type": "person"})
    (staged,) = await staged_docs(db)
    assert "validate_doc_update" not in staged


async def test_migrations_run_once_in_the_order_of_their_dates(couch: Couch, config: Config, db: Database) -> None:
    ran = []

    def migration(name: str, year: int) -> Migration:
        async def run(couch: Couch, config: Config) -> None:
            ran.append(name)

        return Migration(name, date(year, 1, 1), run)

    migrations = [migration("second", 2032), migration("first", 2031)]
    await migrate(couch, config, migrations)
    await migrate(couch, config, migrations)

    assert ran == ["first", "second"]  # UPG-40
    noted = await db.get(LOG_ID)
    assert (noted["type"], noted["migrations"]) == ("meta", [*DONE_ELSEWHERE, "first", "second"])  # UPG-41, MOD-15


async def test_a_migration_that_fails_stops_the_start_and_runs_again(
    couch: Couch, config: Config, db: Database
) -> None:
    attempts = []

    async def run(couch: Couch, config: Config) -> None:
        attempts.append(1)
        if len(attempts) == 1:
            raise DomainError("no")

    broken = Migration("broken", date(2031, 1, 1), run)
    with pytest.raises(DomainError):
        await migrate(couch, config, [broken])
    assert "broken" not in (await db.get(LOG_ID))["migrations"]

    await migrate(couch, config, [broken])

    assert "broken" in (await db.get(LOG_ID))["migrations"]


async def test_migrations_of_a_database_that_was_taken_over_stay_noted(
    couch: Couch, config: Config, db: Database, tmp_path: Path
) -> None:  # UPG-42
    await db.update(LOG_ID, lambda doc: {**(doc or {}), "migrations": ["theirs"]})

    await migrate(couch, config, [])

    assert (await db.get(LOG_ID))["migrations"] == ["theirs"]
