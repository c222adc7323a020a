"""How fast sentinel works off a backlog of registration SMS, beside a loop over the same transitions, one at a time.

    .venv/bin/python scripts/bench/sentinel.py                      # on the embedded store
    COUCH_URL=http://admin:secret@127.0.0.1:5984 .venv/bin/python scripts/bench/sentinel.py    # on CouchDB as well

A document counts when its person is created, its reply written, its schedule assigned, and the changes that all this
made are dealt with too. Exits 1 when an aim is missed.
"""

# ruff: noqa: E402

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import secrets
import socket
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.request import urlopen

# Started by its path, this file would be found in place of the package of the same name.
sys.path[0] = str(Path(__file__).parents[2])

from core.config import Config
from core.couch.changes import change_of
from core.couch.client import Couch, Database, connect
from core.dates import local_zone
from core.prepare import prepare
from core.settings import Settings
from core.translations import load_translations
from sentinel.checkpoint import Checkpoint
from sentinel.processor import Processor
from sentinel.retries import Retries
from sentinel.transitions import load, make_tools

Doc = dict[str, Any]

HEALTH_WORKERS = 100
AIM_RATE = 150.0
AIM_RATIO = 8.0
WRITE_SIZE = 1000

SETTINGS: Doc = {
    "locale": "en",
    "default_country_code": 254,
    "transitions": {"update_clinics": True, "registration": True, "accept_patient_reports": True, "muting": True},
    "muting": {"mute_forms": ["MUTE"]},
    "forms": {
        "PREG": {
            "meta": {"code": "PREG"},
            "fields": {"full_name": {"type": "string"}, "last_menstrual_period": {"type": "integer"}},
        }
    },
    "registrations": [
        {
            "form": "PREG",
            "events": [
                {"name": "on_create", "trigger": "add_patient", "params": "full_name"},
                {"name": "on_create", "trigger": "add_expected_date"},
                {"name": "on_create", "trigger": "assign_schedule", "params": "ANC"},
            ],
            "validations": {"list": [{"property": "last_menstrual_period", "rule": "min(2) && max(42)"}]},
            "messages": [
                {
                    "event_type": "report_accepted",
                    "recipient": "reporting_unit",
                    "message": "Registered {{patient_name}} as {{patient_id}}",
                }
            ],
        }
    ],
    "schedules": [
        {
            "name": "ANC",
            "start_from": "lmp_date",
            "translation_key": "anc",
            "messages": [
                {"group": group, "offset": f"{weeks} weeks", "message": "Visit of {{patient_name}}"}
                for group, weeks in enumerate((20, 26, 30, 34, 36, 38), start=1)
            ],
        }
    ],
}


def now() -> datetime:
    return datetime.now(local_zone())


def place(doc_id: str, kind: str, parent: Doc | None) -> Doc:
    return {"_id": doc_id, "type": kind, "name": doc_id, **({"parent": parent} if parent else {})}


def contacts() -> list[Doc]:
    """One district with a clinic and a health worker for every phone that sends."""
    district: Doc = {"_id": "district"}
    center: Doc = {"_id": "center", "parent": district}
    docs = [place("district", "district_hospital", None), place("center", "health_center", district)]
    for number in range(HEALTH_WORKERS):
        clinic: Doc = {"_id": f"clinic-{number}", "parent": center}
        docs.append(place(f"clinic-{number}", "clinic", center))
        docs.append({**place(f"chw-{number}", "person", clinic), "phone": phone(number)})
    return docs


def phone(number: int) -> str:
    return f"+2547120{number % HEALTH_WORKERS:05}"


def registration(number: int, reported_ms: int) -> Doc:
    """As the API stores an SMS when its own processing is not possible."""
    text = f"PREG Mother{number} {10 + number % 10}"
    return {
        "_id": f"sms-{number:06}",
        "type": "data_record",
        "form": "PREG",
        "from": phone(number),
        "reported_date": reported_ms + number,
        "fields": {"full_name": f"Mother{number}", "last_menstrual_period": 10 + number % 10},
        "errors": [],
        "tasks": [],
        "sms_message": {"type": "sms_message", "message": text, "from": phone(number)},
    }


@asynccontextmanager
async def deployment(server_url: str, count: int) -> AsyncIterator[tuple[Config, Couch]]:
    """A database of its own with a backlog of `count` messages; everything before them is processed already."""
    config = Config().with_couch_url(f"{server_url}/bench-{secrets.token_hex(4)}")
    async with connect(config) as couch:
        await prepare(couch, config)
        db = couch.db(config.database)
        await db.update("settings", lambda doc: {**(doc or {}), "settings": SETTINGS})
        await db.bulk_docs(contacts())
        await db.view("medic-client", "contacts_by_phone", limit=1)
        await db.view("medic", "docs_by_shortcode", limit=1)
        info = await db.info()
        await Checkpoint(couch.db(config.db_name("sentinel"))).save(str(info["update_seq"]))
        reported_ms = int(time.time() * 1000)
        for start in range(0, count, WRITE_SIZE):
            numbers = range(start, min(start + WRITE_SIZE, count))
            await db.bulk_docs([registration(number, reported_ms) for number in numbers])
        yield config, couch
        for name in await couch.all_dbs():
            if name.startswith(config.database):
                await couch.db(name).delete_database()


async def caught_up(db: Database, sentinel_db: Database) -> bool:
    position = await Checkpoint(sentinel_db).read()
    return not (await db.changes(position, limit=1))["results"]


async def check(db: Database, count: int) -> None:
    """Everything that was to be done is done, once."""
    people: set[str] = set()
    for start in range(0, count, WRITE_SIZE):
        ids = [f"sms-{number:06}" for number in range(start, min(start + WRITE_SIZE, count))]
        for doc in (await db.get_many(ids)).values():
            assert len(doc["tasks"]) == 1, doc
            assert doc["scheduled_tasks"], doc
            people.add(doc["patient_id"])
    assert len(people) == count


async def worker_rate(server_url: str, count: int) -> tuple[float, list[int]]:
    """Documents a second of a real worker process, and its memory in MB along the way."""
    async with deployment(server_url, count) as (config, couch):
        db, sentinel_db = couch.db(config.database), couch.db(config.db_name("sentinel"))
        command = [sys.executable, "-m", "outpost", "sentinel", "--couch-url", str(config.couch_url)]
        memory: list[int] = []
        started_s = time.monotonic()
        process = await asyncio.create_subprocess_exec(*command, "--log-level", "error")
        try:
            while not await caught_up(db, sentinel_db):
                assert process.returncode is None, "the worker ended"
                memory.append(resident_mb(process.pid))
                await asyncio.sleep(0.25)
            taken_s = time.monotonic() - started_s
        finally:
            process.terminate()
            await process.wait()
        await check(db, count)
        return count / taken_s, memory


async def loop_rate(server_url: str, count: int) -> float:
    """Documents a second when each change is read, processed and noted before the next."""
    async with deployment(server_url, count) as (config, couch):
        db, sentinel_db = couch.db(config.database), couch.db(config.db_name("sentinel"))
        settings = Settings.from_doc(await db.get("settings"))
        transitions = load(settings, make_tools(settings, await load_translations(db), now))
        processor = Processor(db, sentinel_db, Retries(sentinel_db, now), now=now)
        checkpoint = Checkpoint(sentinel_db)
        position = await checkpoint.read()
        started_s = time.monotonic()
        while rows := (await db.changes(position, limit=1))["results"]:
            await processor.process([change_of(row) for row in rows], transitions)
            position = str(rows[-1]["seq"])
            await checkpoint.save(position)
        taken_s = time.monotonic() - started_s
        await check(db, count)
        return count / taken_s


def resident_mb(pid: int) -> int:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    lines = [line.split() for line in status.splitlines() if line.startswith("VmRSS:")]
    return int(lines[0][1]) // 1024 if lines else 0


def answers(url: str) -> bool:
    try:
        urlopen(url, timeout=5).close()
    except OSError:
        return False
    return True


@asynccontextmanager
async def embedded_store() -> AsyncIterator[str]:
    """An embedded store in a temporary folder."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "outpost", "store", "--store-port", str(port), "--data", folder]
        process = await asyncio.create_subprocess_exec(*command, "--admin", "admin:secret", "--log-level", "error")
        try:
            for _ in range(300):
                if await asyncio.to_thread(answers, f"http://127.0.0.1:{port}/_up"):
                    break
                await asyncio.sleep(0.1)
            yield f"http://admin:secret@127.0.0.1:{port}"
        finally:
            process.terminate()
            await process.wait()


async def measure(name: str, server_url: str, count: int, loop_count: int) -> bool:
    rate, memory = await worker_rate(server_url, count)
    alone = await loop_rate(server_url, loop_count)
    begun, ended = memory[len(memory) // 4], memory[-1]
    good = rate >= AIM_RATE and rate / alone >= AIM_RATIO
    print(
        f"{name:<16} {rate:>9.0f} docs/s   loop {alone:>6.1f} docs/s   {rate / alone:>5.1f} times"
        f"   memory {begun} MB after a quarter, {max(memory)} MB at most, {ended} MB at the end"
        f"   {'ok' if good else 'below the aim'}",
        flush=True,
    )
    return good


async def main(count: int, loop_count: int) -> int:
    print(f"a backlog of {count} registration SMS; aims: {AIM_RATE:.0f} docs/s, {AIM_RATIO:.0f} times the loop")
    results = []
    async with embedded_store() as url:
        results.append(await measure("embedded store", url, count, loop_count))
    if couch_url := os.environ.get("COUCH_URL"):
        results.append(await measure("CouchDB", couch_url.rstrip("/"), count, loop_count))
    return 0 if all(results) else 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=5000, help="messages in the backlog (default: 5000)")
    parser.add_argument("--loop-count", type=int, default=200, help="messages of the loop (default: 200)")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.ERROR)
    sys.exit(asyncio.run(main(arguments.count, arguments.loop_count)))
