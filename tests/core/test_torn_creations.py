"""What becomes of people, places and users whose creation is torn apart: all of it is there, or nothing (30 §7, §9)."""

from __future__ import annotations

import asyncio
import random
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from core.config import Config
from core.couch.client import Database, Doc, connect
from core.creations import ABANDONED_AFTER_MS, NOTES, notes_db, settle_abandoned
from core.documents import facility_ids, id_of, lineage_ids
from core.errors import Conflict, DomainError
from core.new_users import create_user
from core.people import create_person
from core.places import create_place, update_place
from core.prepare import prepare
from core.user_changes import complete_abandoned
from core.users import update_user
from tests.conftest import free_port, wait_for_http
from tests.core.accounts import NOW_MS, SETTINGS, account_of, chw, create, doc_ids, profile_of
from tests.core.cutting_proxy import cutting

LATER_MS = NOW_MS + ABANDONED_AFTER_MS
TREE = {"name": "Area", "type": "health_center", "parent": {"name": "Branch", "type": "district_hospital"}}
USER = chw("", place={**TREE, "parent": "d-busia"}, contact={"name": "Juma"})

Make = Callable[[Database, str], Awaitable[Any]]


async def make_person(db: Database, _: str) -> None:
    await create_person(db, SETTINGS, {"name": "Hannah", "place": TREE}, now_ms=NOW_MS)


async def make_place(db: Database, _: str) -> None:
    await create_place(db, SETTINGS, {**TREE, "contact": {"name": "Paul"}}, now_ms=NOW_MS)


async def move_place(db: Database, _: str) -> None:
    change = {"name": "Moved", "parent": TREE["parent"], "contact": {"name": "Paul"}}
    await update_place(db, SETTINGS, "hc-kanga", change, now_ms=NOW_MS)


async def make_user(db: Database, name: str) -> None:
    await create_user(db, SETTINGS, {**USER, "username": name}, now_ms=NOW_MS)


async def nothing_dangles(db: Database, account_names: set[str]) -> None:
    """Every parent and contact exists, every account has profile, place and person, and every profile an account."""
    docs = {row["id"]: row["doc"] for row in await db.all_docs(include_docs=True) if row["id"][0] != "_"}
    for doc in docs.values():
        named = [*lineage_ids(doc.get("parent")), id_of(doc.get("contact")), id_of(doc.get("contact_id"))]
        named += facility_ids(doc.get("facility_id"))
        assert {each for each in named if each} <= docs.keys(), doc
    accounts = await db.couch.db("_users").get_many(f"org.couchdb.user:{name}" for name in account_names)
    profiles = {f"org.couchdb.user:{name}" for name in account_names} & docs.keys()
    assert accounts.keys() == profiles
    for account in accounts.values():
        assert account["facility_id"] == docs[account["_id"]]["facility_id"]


async def notes(db: Database) -> list[Any]:
    answer = await notes_db(db).request("GET", "/_local_docs", params={"startkey": NOTES, "endkey": f"{NOTES}~"})
    rows: list[Any] = answer["rows"]
    return rows


@pytest.mark.parametrize("stays_away", [False, True], ids=["a moment", "until restarted"])
@pytest.mark.parametrize("answered", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("make", [make_person, make_place, move_place, make_user])
async def test_a_cut_at_any_write_leaves_all_or_nothing(
    db: Database, config: Config, district: Doc, name: str, make: Make, answered: bool, stays_away: bool
) -> None:
    at, is_made = 0, False
    while not is_made:
        at += 1
        names = {f"{name}-{each}" for each in range(1, at + 1)}
        before, kanga = await doc_ids(db), await db.get("hc-kanga")
        async with cutting(config, at=at, answered=answered, stays_away=stays_away) as (behind_proxy, proxy):
            with suppress(DomainError):
                await make(behind_proxy, f"{name}-{at}")
            is_made = not proxy.has_cut
        await settle_abandoned(db, LATER_MS)
        made = await doc_ids(db) - before

        assert await notes(db) == []  # EP-PLC-9, EP-PPL-9, EP-USR-30
        await nothing_dangles(db, names)
        moved = await db.get("hc-kanga")
        if make is move_place:
            assert (moved["name"] == "Moved") == bool(made)
            await db.put({**kanga, "_rev": moved["_rev"]})
        else:
            assert moved == kanga
        assert len(made) in (0, {make_person: 3, make_place: 3, move_place: 2, make_user: 3}[make])
    assert at > 2
    await remove_accounts(db, {f"{name}-{each}" for each in range(1, at + 1)})


async def remove_accounts(db: Database, names: set[str]) -> None:
    users = db.couch.db("_users")
    for account in (await users.get_many(f"org.couchdb.user:{name}" for name in names)).values():
        await users.delete(account["_id"], account["_rev"])


async def test_a_conflict_on_the_last_document_takes_back_the_others(
    db: Database, config: Config, district: Doc, name: str
) -> None:
    """The account appears between the check of its name and its write."""
    users, doc_id = db.couch.db("_users"), f"org.couchdb.user:{name}"
    before = await doc_ids(db)

    async def somebody_else_comes_first() -> None:
        if await users.find(doc_id) is None:
            await users.put({"_id": doc_id, "name": name, "type": "user", "password": "secret", "roles": ["other"]})

    async with cutting(config, at=10**6, answered=False, stays_away=False) as (behind_proxy, proxy):
        proxy.after_bulk = somebody_else_comes_first
        with pytest.raises(Conflict):
            await make_user(behind_proxy, name)

    assert await doc_ids(db) == before  # EP-USR-30
    assert await notes(db) == []
    assert (await users.get(doc_id))["roles"] == ["other"]


async def test_a_conflict_on_one_of_the_documents_takes_back_the_others(
    db: Database, config: Config, district: Doc, name: str
) -> None:
    """The profile appears between the check of its name and the write of place, person and profile."""
    profile = {"_id": f"org.couchdb.user:{name}", "type": "user-settings", "name": name, "roles": ["other"]}
    before = await doc_ids(db)

    async def somebody_else_comes_first() -> None:
        if await db.find(profile["_id"]) is None:
            await db.put(profile)

    async with cutting(config, at=10**6, answered=False, stays_away=False) as (behind_proxy, proxy):
        proxy.before_bulk = somebody_else_comes_first
        with pytest.raises(Conflict):
            await make_user(behind_proxy, name)

    assert await doc_ids(db) == before | {profile["_id"]}  # EP-USR-30
    assert await notes(db) == []
    assert (await db.get(profile["_id"]))["roles"] == ["other"]
    assert await db.couch.db("_users").find(profile["_id"]) is None


async def test_what_may_still_be_under_way_is_left_alone(
    db: Database, config: Config, district: Doc, name: str
) -> None:
    before = await doc_ids(db)
    async with cutting(config, at=3, answered=False, stays_away=True) as (behind_proxy, _):
        with pytest.raises(DomainError):
            await make_user(behind_proxy, name)
    left = await doc_ids(db) - before

    assert await settle_abandoned(db, LATER_MS - 1) == 0
    assert await doc_ids(db) == before | left
    with pytest.raises(Conflict):
        await make_user(db, name)
    await create_user(db, SETTINGS, {**USER, "username": name}, now_ms=LATER_MS)
    assert len(left) == 3
    assert left & await doc_ids(db) == {f"org.couchdb.user:{name}"}


async def test_what_the_worker_added_to_goes_too_and_what_a_person_changed_stays(
    db: Database, config: Config, district: Doc, name: str
) -> None:
    before = await doc_ids(db)
    async with cutting(config, at=3, answered=False, stays_away=True) as (behind_proxy, _):
        with pytest.raises(DomainError):
            await make_user(behind_proxy, name)
    for doc in (await db.get_many(await doc_ids(db) - before)).values():
        if doc["type"] == "person":
            await db.put({**doc, "patient_id": "12345"})
        elif doc["type"] == "health_center":
            await db.put({**doc, "name": "Renamed"})
            renamed = doc["_id"]
    await settle_abandoned(db, LATER_MS)

    assert await doc_ids(db) == before | {renamed}


@pytest.mark.parametrize("stays_away", [False, True], ids=["a moment", "until restarted"])
@pytest.mark.parametrize("answered", [False, True], ids=["before", "after"])
async def test_a_change_of_a_user_that_is_cut_at_any_write_is_made_in_both_documents_or_in_none(
    db: Database, config: Config, district: Doc, name: str, answered: bool, stays_away: bool
) -> None:
    await create(db, chw(name, place="hc-kanga", contact="p-asha", phone="+254700000001"))
    at, is_made = 0, False
    while not is_made:
        at += 1
        to, phone = (("d-busia", "+254700000002"), ("hc-kanga", "+254700000001"))[at % 2]
        async with cutting(config, at=at, answered=answered, stays_away=stays_away) as (behind_proxy, proxy):
            with suppress(DomainError):
                await update_user(behind_proxy, SETTINGS, name, {"place": to, "phone": phone}, now_ms=NOW_MS)
            is_made = not proxy.has_cut
        await complete_abandoned(db, LATER_MS)

        account, profile = await account_of(db, name), await profile_of(db, name)
        assert account["facility_id"] == profile["facility_id"]
        assert profile["phone"] == {"d-busia": "+254700000002", "hc-kanga": "+254700000001"}[account["facility_id"]]
    assert at > 2
    await remove_accounts(db, {name})


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
async def test_a_store_that_is_killed_leaves_all_or_nothing(tmp_path: Path) -> None:
    """Killed while users are being made, at a moment that differs from run to run, and started again."""
    port, data = free_port(), tmp_path / "store"
    config = Config(data=tmp_path).with_couch_url(f"http://admin:secret@127.0.0.1:{port}/medic")
    process = start_store(port, data)
    try:
        async with connect(config) as couch:
            await prepare(couch, config)
            db = couch.db("medic")
            await db.put({"_id": "d-busia", "name": "Busia", "type": "district_hospital"})
            names: set[str] = set()
            for attempt in range(2):
                batch = {f"juma-{attempt}-{each}" for each in range(30)}
                acknowledged = await make_until_killed(db, batch, process)
                names |= batch
                process.wait(30)
                process = start_store(port, data)
                await settle_abandoned(db, LATER_MS)

                assert await notes(db) == []
                await nothing_dangles(db, names)
                found = await couch.db("_users").get_many(f"org.couchdb.user:{name}" for name in acknowledged)
                assert len(found) == len(acknowledged)
    finally:
        process.kill()
        process.wait(30)


def start_store(port: int, data: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "outpost", "store", "--store-port", str(port), "--data", str(data)]
    process = subprocess.Popen([*command, "--admin", "admin:secret", "--log-level", "error"])
    wait_for_http(f"http://127.0.0.1:{port}/_up")
    return process


async def make_until_killed(db: Database, names: set[str], process: subprocess.Popen[bytes]) -> set[str]:
    """Make all users at once and kill the store when some are there; those whose creation was answered."""
    made: set[str] = set()
    enough = random.randrange(1, len(names) // 2)

    async def make(name: str) -> None:
        with suppress(DomainError):
            await make_user(db, name)
            made.add(name)
            if len(made) == enough:
                process.send_signal(signal.SIGKILL)

    await asyncio.gather(*(make(name) for name in names))
    return made
