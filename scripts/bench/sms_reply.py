"""How soon the reply to an SMS is ready, on a deployment that has nothing else to do.

    .venv/bin/python scripts/bench/sms_reply.py                      # on an embedded store
    COUCH_URL=http://admin:secret@127.0.0.1:5984 .venv/bin/python scripts/bench/sms_reply.py   # on CouchDB

A registration is answered by the API, in the very exchange that brought it. A report that mutes is answered by the
background worker: there the time runs until the gateway, which asks fifty times a second, is given the reply. Exits 1
when an aim is missed.
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
from pathlib import Path
from typing import Any

import aiohttp

# Started by its path, this file would be found in place of the package of the same name.
sys.path[0] = str(Path(__file__).parents[2])

from core.config import Config
from core.couch.client import Couch, connect
from core.prepare import prepare
from scripts.bench.sentinel import SETTINGS, answers, caught_up, contacts, embedded_store, phone

Doc = dict[str, Any]

AIM_MS = 300.0
WARM_UP = 5
PAUSE_S = 0.02
MUTING: Doc = {
    "mute_forms": ["STOP"],
    "unmute_forms": ["GO"],
    "messages": [{"event_type": event, "message": f"{event} {{{{patient_name}}}}"} for event in ("mute", "unmute")],
}
FORMS: Doc = {
    **SETTINGS["forms"],
    **{code: {"meta": {"code": code}, "fields": {"patient_id": {"type": "string"}}} for code in ("STOP", "GO")},
}


@asynccontextmanager
async def deployment(server_url: str) -> AsyncIterator[tuple[Config, Couch, str]]:
    """`outpost serve` with its API's address, on a database of its own."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    config = Config().with_couch_url(f"{server_url}/bench-{secrets.token_hex(4)}")
    async with connect(config) as couch:
        await prepare(couch, config)
        db = couch.db(config.database)
        settings = {**SETTINGS, "forms": FORMS, "muting": MUTING}
        await db.update("settings", lambda doc: {**(doc or {}), "settings": settings})
        await db.bulk_docs(contacts())
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, "-m", "outpost", "serve", "--port", str(port), "--data", folder]
            options = ["--couch-url", str(config.couch_url), "--workers", "1", "--log-level", "error"]
            process = await asyncio.create_subprocess_exec(*command, *options, stdout=asyncio.subprocess.DEVNULL)
            try:
                url = f"http://127.0.0.1:{port}"
                for _ in range(600):
                    if await asyncio.to_thread(answers, f"{url}/setup/poll"):
                        break
                    await asyncio.sleep(0.1)
                yield config, couch, url
            finally:
                process.terminate()
                await process.wait()
        for name in await couch.all_dbs():
            if name.startswith(config.database):
                await couch.db(name).delete_database()


async def reply_ms(session: aiohttp.ClientSession, url: str, number: int, content: str) -> tuple[float, str]:
    """Milliseconds from posting a message to being given its reply, and the reply; then it is acknowledged."""
    body: Doc = {"messages": [{"id": f"bench-{number}-{content}", "from": phone(number), "content": content}]}
    started_s = time.perf_counter()
    while True:
        async with session.post(f"{url}/api/sms", json=body) as response:
            given = (await response.json())["messages"]
        if given:
            break
        body = {}
        await asyncio.sleep(PAUSE_S)
        assert time.perf_counter() - started_s < 60, "no reply came"
    taken_ms = (time.perf_counter() - started_s) * 1000
    updates = [{"id": each["id"], "status": "DELIVERED"} for each in given]
    async with session.post(f"{url}/api/sms", json={"updates": updates}) as response:
        await response.read()
    return taken_ms, str(given[0]["content"])


def report(name: str, times_ms: list[float]) -> bool:
    times_ms = sorted(times_ms[WARM_UP:])
    p50, p95 = times_ms[len(times_ms) // 2], times_ms[int(len(times_ms) * 0.95)]
    good = p95 < AIM_MS
    print(f"{name:<40} p50 {p50:>6.0f} ms   p95 {p95:>6.0f} ms   {'ok' if good else 'below the aim'}", flush=True)
    return good


async def measure(name: str, server_url: str, count: int) -> bool:
    async with deployment(server_url) as (config, couch, url):
        db, sentinel_db = couch.db(config.database), couch.db(config.db_name("sentinel"))
        at_once: list[float] = []
        later: list[float] = []
        async with aiohttp.ClientSession(headers={"Authorization": config.authorization}) as session:
            for number in range(count):
                taken_ms, reply = await reply_ms(session, url, number, f"PREG Mother{number} 12")
                at_once.append(taken_ms)
                await idle(db, sentinel_db)
                taken_ms, _ = await reply_ms(session, url, number, f"STOP {reply.split()[-1]}")
                later.append(taken_ms)
                await idle(db, sentinel_db)
    results = [report(f"{name}: answered by the API", at_once), report(f"{name}: answered by the worker", later)]
    return all(results)


async def idle(db: Any, sentinel_db: Any) -> None:
    """Until the worker has seen to everything."""
    while not await caught_up(db, sentinel_db):  # noqa: ASYNC110 (it is another process that gets there)
        await asyncio.sleep(0.02)


async def main(count: int) -> int:
    if couch_url := os.environ.get("COUCH_URL"):
        good = await measure("CouchDB", couch_url.rstrip("/"), count)
    else:
        async with embedded_store() as url:
            good = await measure("embedded store", url, count)
    return 0 if good else 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=100, help="messages of each kind (default: 100)")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.ERROR)
    sys.exit(asyncio.run(main(arguments.count)))
