"""Purging: who is to hold which documents no more, by the settings' function (40 §11)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest

from core.couch.client import Database, Doc
from core.scripting import ScriptError
from core.settings import Settings
from sentinel.schedule.purge_function import role_hash
from sentinel.schedule.purge_run import MOST_SKIPPED
from sentinel.schedule.purging import purge
from tests.sentinel.conftest import Clock, Deployment

Run = Callable[..., Awaitable[bool]]

CONTACT = {"_id": "chw", "parent": {"_id": "c1"}}
PURGE_REPORTS = "function (user, contact, reports) { return reports.map(function (r) { return r._id; }); }"


@pytest.fixture
async def run(deployment: Deployment, clock: Clock, make_user: Any) -> AsyncIterator[Run]:
    """`await run(fn)`: the next scheduled run. There is one role set: `["chw"]`."""
    await make_user("asha", roles=["chw"], facility_id="c1", contact_id="chw")
    await make_user("boss", roles=["program_officer", "mm-online"])

    async def one(fn: str = PURGE_REPORTS, **members: Any) -> bool:
        roles = {"chw": {"name": "CHW", "offline": True}, "program_officer": {"name": "PO"}}
        permissions = {"can_keep": ["chw"], "can_more": ["nurse"]}
        section = {"fn": fn, "cron": "0 * * * *", **members}
        await deployment.configure(roles=roles, permissions=permissions, purge=section)
        with suppress(ScriptError):  # the failure of the run before is told until one succeeds
            await tick()
        clock.move(hours=1)
        return await tick()

    async def tick() -> bool:
        settings = Settings.from_doc(await deployment.db.get("settings"))
        return await purge(deployment.db.couch, deployment.db.name, settings, clock)

    yield one
    couch = deployment.db.couch
    for name in await couch.all_dbs():
        if name.startswith(f"{deployment.db.name}-purged-role-"):
            await couch.db(name).delete_database()


def report(doc_id: str, patient: str | None = "50001", **members: Any) -> Doc:
    fields = {"patient_id": patient} if patient else {}
    return {"_id": doc_id, "type": "data_record", "form": "V", "contact": CONTACT, "fields": fields, **members}


def purged_db(deployment: Deployment, *roles: str) -> Database:
    return deployment.db.couch.db(f"{deployment.db.name}-purged-role-{role_hash(roles or ('chw',))}")


async def purged(deployment: Deployment, *roles: str) -> set[str]:
    rows = await purged_db(deployment, *roles).all_docs()
    return {row["id"].removeprefix("purged:") for row in rows}


async def logs(deployment: Deployment) -> list[Doc]:
    rows = await deployment.sentinel_db.all_docs(startkey="purgelog:", endkey="purgelog:\ufff0", include_docs=True)
    return [row["doc"] for row in rows]


def test_hashes_of_the_specification() -> None:  # V-4, PRG-2
    assert role_hash(["chw"]) == "dc6aef2f5bbad17a51df3cbf5eea105a"
    assert role_hash(["supervisor", "district_admin", "district_admin"]) == "4d31f0c58d9a8174923cc8aef367239b"


async def test_what_the_function_names_is_purged_and_logged(  # PRG-1, PRG-3, PRG-5, PRG-9, PRG-10
    deployment: Deployment, run: Run, clock: Clock
) -> None:
    await deployment.store(report("r1"), report("r2", patient="mum"))
    assert await run()

    assert await purged(deployment) == {"r1", "r2"}
    local = await purged_db(deployment).get_local("info")
    assert local is not None
    assert local["roles"] == ["chw"]  # MOD-103
    [log] = await logs(deployment)
    assert log["_id"] == f"purgelog:{clock.ms}"  # MOD-94
    assert log["roles"][role_hash(["chw"])] == ["chw"]  # beside those of accounts that other tests left
    assert log["skipped_contacts"] == []
    security = await deployment.db.couch.request("GET", f"{purged_db(deployment).path}/_security")
    assert security["members"]["roles"] == ["_admin"]


async def test_what_is_wanted_again_is_unmarked(deployment: Deployment, run: Run) -> None:  # PRG-9
    await deployment.store(report("r1"), report("r2"))
    await run()
    first = (await purged_db(deployment).info())["update_seq"]
    await run()
    assert (await purged_db(deployment).info())["update_seq"] == first
    await run("function (user, contact, reports) { return ['r2', 'not mine']; }")

    assert await purged(deployment) == {"r2"}


async def test_function_sees_groups_and_permissions(  # PRG-4, PRG-5, PRG-7, REPL-58
    deployment: Deployment, run: Run
) -> None:
    fn = """function (user, contact, reports, messages, cht, permissions) {
      if (user.roles.join() !== 'chw') { return []; }
      if (!cht.v1.hasPermissions('can_keep', user.roles, permissions)) { return []; }
      if (cht.v1.hasAnyPermission([['can_more'], ['!can_keep']], user.roles, permissions)) { return []; }
      if (contact._id === 'mum') { return reports.concat(messages).map(function (d) { return d._id; }); }
      if (!contact._id && reports.length === 1) { return [reports[0]._id]; }
      if (!contact._id && messages.length === 1) { return [messages[0]._id]; }
      return [];
    }"""
    mum = {"_id": "mum", "parent": {"_id": "c1"}}
    await deployment.store(
        report("about-mum"),
        report("about-chw", patient="chw"),
        report("about-nobody", patient=None),
        {"_id": "from-mum", "type": "data_record", "sms_message": {"message": "hi"}, "contact": mum},
        {"_id": "from-nobody", "type": "data_record", "sms_message": {"message": "hi"}},
    )
    assert await run(fn)

    assert await purged(deployment) == {"about-mum", "from-mum", "about-nobody", "from-nobody"}


async def test_function_sees_records_of_deleted_and_unknown_contacts(  # REPL-58
    deployment: Deployment, run: Run
) -> None:
    fn = """function (user, contact, reports, messages) {
      var records = reports.concat(messages);
      var is_deleted = contact._deleted && records.length === 2, is_unknown = !Object.keys(contact).length;
      return is_deleted || (is_unknown && records.length === 1) ? records.map(function (d) { return d._id; }) : [];
    }"""
    await deployment.store(
        report("about-deleted", patient="chw"),
        {"_id": "from-deleted", "type": "data_record", "sms_message": {"message": "hi"}, "contact": CONTACT},
        report("about-nobody", patient="77777"),
        report("about-mum"),
    )
    await deployment.db.delete("chw", (await deployment.db.get("chw"))["_rev"])
    assert await run(fn)

    assert await purged(deployment) == {"about-deleted", "from-deleted", "about-nobody"}


async def test_contact_with_too_many_records_is_skipped_and_told(  # PRG-6, REPL-60
    deployment: Deployment, run: Run, clock: Clock
) -> None:
    await deployment.store(report("r1"), report("r2"), report("r3", patient="chw"))
    await run("function () { return []; }")
    settings = Settings.from_doc(await deployment.db.update("settings", lambda doc: with_fn(doc or {})))
    clock.move(hours=1)

    assert await purge(deployment.db.couch, deployment.db.name, settings, clock, too_many_records=2)
    assert await purged(deployment) == {"r3"}
    assert (await logs(deployment))[-1]["skipped_contacts"] == ["mum"]


async def test_old_tasks_and_targets_are_purged_in_any_case(  # PRG-8, REPL-59, MOD-57, MOD-59
    deployment: Deployment, run: Run
) -> None:
    def task(doc_id: str, end: str, state: str = "Completed") -> Doc:
        return {"_id": doc_id, "type": "task", "state": state, "emission": {"endDate": end}, "user": "u"}

    await deployment.store(
        task("task~old", "2031-09-01"),
        task("task~fresh", "2031-11-01"),
        task("task~open", "2031-09-01", "Ready"),
        {"_id": "target~2031-04~x", "type": "target"},
        {"_id": "target~2031-06~x", "type": "target"},
    )
    await run("function () { return []; }")

    assert await purged(deployment) == {"task~old", "target~2031-04~x"}


async def test_contact_on_which_the_function_throws_is_skipped_and_told(  # PRG-6, PRG-10
    deployment: Deployment, run: Run
) -> None:
    await deployment.store(report("r1"), report("r2", patient="chw"))
    fn = "(user, contact, reports) => { if (contact._id === 'mum') { throw 'no'; } return reports.map(r => r._id); }"
    assert await run(fn)

    assert await purged(deployment) == {"r2"}
    [log] = await logs(deployment)
    assert log["skipped_contacts"] == ["mum"]


async def test_function_that_throws_on_all_is_told_by_the_first(  # PRG-10
    deployment: Deployment, run: Run
) -> None:
    clinics: list[Doc] = [{"_id": f"a:{n:04}", "type": "clinic", "parent": {"_id": "h1"}} for n in range(MOST_SKIPPED)]
    await deployment.store(*clinics)
    assert await run("function (user, contact) { throw contact.missing.name; }")

    [log] = await logs(deployment)
    assert len(log["skipped_contacts"]) == MOST_SKIPPED
    assert "a:0001" in log["skipped_contacts"]


async def test_clock_that_was_ahead_does_not_put_purging_off(  # PRG-1
    deployment: Deployment, run: Run, clock: Clock
) -> None:
    clock.move(days=300)
    await run()
    clock.move(days=-300)
    await deployment.store(report("r1"))

    assert await run()
    assert await purged(deployment) == {"r1"}


@pytest.mark.parametrize("fn", ["function () { while (true) {} }", "not a function"])
async def test_function_that_fails_ends_the_run_and_is_told(  # PRG-10, REPL-61
    deployment: Deployment, run: Run, fn: str
) -> None:
    with pytest.raises(ScriptError, match=r"purge\.fn"):
        await run(fn)

    [log] = await logs(deployment)
    assert log["_id"].startswith("purgelog:error:")
    assert "purge.fn" in log["error"]
    assert await run()


async def test_nothing_runs_without_function_schedule_or_users(  # PRG-1, PRG-2, REPL-58
    deployment: Deployment, clock: Clock, run: Run
) -> None:
    assert not await run("")
    assert not await run(cron=None)
    assert await logs(deployment) == []


async def test_run_that_was_cut_off_goes_on_where_it_was(  # PRG-12
    deployment: Deployment, run: Run, clock: Clock
) -> None:
    await deployment.store(report("r1"), report("r2", patient="chw"))
    await run("function () { return []; }")
    settings = Settings.from_doc(await deployment.db.update("settings", lambda doc: with_fn(doc or {})))
    clock.move(hours=1)
    couch, writes = deployment.db.couch, 0

    def dies_later() -> None:
        nonlocal writes
        writes += 1
        if writes == 6:
            raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await purge(couch, deployment.db.name, settings, clock, dies_later)
    state = await deployment.sentinel_db.get_local("purging")
    assert state is not None
    assert state["run"]["stage"] > 0

    assert await purge(couch, deployment.db.name, settings, clock)
    assert await purged(deployment) == {"r1", "r2"}
    assert not await purge(couch, deployment.db.name, settings, clock)


async def unmark(deployment: Deployment, doc_id: str) -> None:
    """Take a mark away that only a look at the document brings back."""
    marks = purged_db(deployment)
    await marks.delete(f"purged:{doc_id}", (await marks.get(f"purged:{doc_id}"))["_rev"])


async def test_between_two_whole_runs_only_what_changed_is_looked_at(  # PRG-12
    deployment: Deployment, run: Run, clock: Clock
) -> None:
    await deployment.store(report("r1", patient="chw"), report("r2", patient="mum"), report("r3", None, contact=None))
    assert await run()
    for doc_id in ("r1", "r2", "r3"):
        await unmark(deployment, doc_id)
    await deployment.store(report("r4", patient="50001"), report("r5", None, contact=None))
    assert await run()

    assert await purged(deployment) == {"r2", "r4", "r5"}  # the reports about Mum, by her id and by her short code
    assert (await logs(deployment))[-1]["changes_only"] is True
    clock.move(days=7)
    assert await run()
    assert await purged(deployment) == {"r1", "r2", "r3", "r4", "r5"}
    assert ["changes_only" in entry for entry in await logs(deployment)] == [False, True, False, True]


async def test_another_function_looks_at_everything(deployment: Deployment, run: Run) -> None:  # PRG-12
    await deployment.store(report("r1"))
    assert await run("function () { return []; }")
    assert await run()

    assert await purged(deployment) == {"r1"}


async def test_deleted_contact_concerns_its_records(deployment: Deployment, run: Run) -> None:  # PRG-12, REPL-58
    of_deleted = "function (user, contact, reports) { return contact._deleted ? reports.map(r => r._id) : []; }"
    await deployment.store(report("r1", patient="mum"), report("r2", patient="chw"))
    assert await run(of_deleted)
    mum = await deployment.db.get("mum")
    await deployment.db.delete("mum", mum["_rev"])
    assert await run(of_deleted)

    assert await purged(deployment) == {"r1"}


def with_fn(doc: Doc) -> Doc:
    purge_section = {**doc["settings"]["purge"], "fn": PURGE_REPORTS}
    return {**doc, "settings": {**doc["settings"], "purge": purge_section}}
