"""How much the API costs over CouchDB: each endpoint beside the same work by direct calls, in one run.

    .venv/bin/python scripts/bench/api.py --couch-url http://admin:secret@127.0.0.1:5984

Starts `outpost serve` with a database of its own on that CouchDB (without the option: on the embedded store), fills it,
and prints the median of each pair, their ratio and the rates with eight clients. The ratios are what counts. Exits 1
when an aim is missed.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import secrets
import signal
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import orjson

CLIENTS = 8
USERS = 1_000
DELETED = 1_000
JSON = {"Content-Type": "application/json", "Accept": "application/json"}
FORM = {
    "meta": {"code": "VISIT", "label": "Visit"},
    "fields": {"note": {"labels": {"short": "Note"}, "position": 0, "type": "string"}},
}
SETTINGS = {
    "default_country_code": 254,
    "forms": {"VISIT": FORM},
    "bench": {f"member_{n}": {"text": "x" * 80, "list": [n, n + 1]} for n in range(800)},  # about 100 KB in all
}

Call = Callable[[int], Awaitable[Any]]


@dataclass(frozen=True)
class Work:
    """One comparison. `make_ready` runs outside the clock before each call; `aim` is the largest ratio wanted."""

    name: str
    aim: float
    ours: Call
    theirs: Call
    make_ready: Call | None = None
    rounds: int = 60
    parallel: bool = True


class Server:
    """One side: a base URL and a session that is logged in."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self.session = session
        self.url = url

    async def login(self, name: str, password: str) -> None:
        body = {"name": name, "password": password}
        async with self.session.post(f"{self.url}/_session", json=body) as answer:
            answer.raise_for_status()
            self.session.headers["Cookie"] = f"AuthSession={answer.cookies['AuthSession'].value}"

    async def call(self, method: str, path: str, body: Any = None) -> bytes:
        data = body if body is None or isinstance(body, bytes) else orjson.dumps(body)
        async with self.session.request(method, self.url + path, data=data, headers=JSON) as answer:
            content = await answer.read()
            if answer.status >= 400:
                raise RuntimeError(f"{method} {path}: {answer.status} {content[:300]!r}")
            return content


def documents() -> list[dict[str, Any]]:
    """Ten districts of ten clinics of ten people, each with a report: 2,110 documents."""
    docs: list[dict[str, Any]] = []
    for district in range(10):
        top = {"_id": f"d{district}"}
        docs.append({**top, "type": "district_hospital", "name": f"District {district}"})
        for clinic in range(10):
            place = {"_id": f"d{district}c{clinic}", "parent": top}
            first = f"{place['_id']}p0"
            docs.append(
                {**place, "type": "clinic", "name": f"Clinic {clinic}", "contact": {"_id": first, "parent": place}}
            )
            for each in range(10):
                person = {"_id": f"{place['_id']}p{each}", "parent": place}
                phone = f"+2547{district}{clinic}{each}00{each}{clinic}{district}"
                shortcode = f"{district}{clinic}{each}77"
                about = {
                    "type": "person",
                    "name": "Ama Owusu",
                    "phone": phone,
                    "patient_id": shortcode,
                    "notes": "x" * 300,
                }
                report = {
                    "type": "data_record",
                    "form": "VISIT",
                    "reported_date": 1,
                    "contact": {"_id": first, "parent": place},
                }
                docs.append({**person, **about})
                docs.append(
                    {**report, "_id": f"r{person['_id']}", "fields": {"patient_id": shortcode, "note": "x" * 300}}
                )
    return docs


def accounts() -> list[dict[str, Any]]:
    """Logins with ready-made password hashes, so that filling is quick."""
    hashed = {"password_scheme": "pbkdf2", "iterations": 10, "derived_key": "0" * 40, "salt": "0" * 32}
    members = {"type": "user", "roles": ["chw"], "facility_id": "d0c0", "contact_id": "d0c0p0", **hashed}
    return [{"_id": f"org.couchdb.user:{name}", "name": name, **members} for name in account_names()]


def account_names() -> list[str]:
    return [f"bench-{each:04}" for each in range(USERS)]


async def fill(couch: Server, db: str) -> None:
    stored = orjson.loads(await couch.call("GET", f"/{db}/settings"))
    await couch.call("PUT", f"/{db}/settings", {**stored, "settings": {**stored["settings"], **SETTINGS}})
    profiles = [{"_id": f"org.couchdb.user:{each}", "type": "user-settings", "name": each} for each in account_names()]
    await couch.call("POST", f"/{db}/_bulk_docs", {"docs": [*documents(), *profiles]})
    await couch.call("POST", "/_users/_bulk_docs", {"docs": accounts()})
    for view in ("medic-phones/_view/contacts_by_phone_ending", "medic-client/_view/contacts_by_phone"):
        await couch.call("GET", f"/{db}/_design/{view}?limit=1")


async def settle(api: Server) -> None:
    """Wait until the worker has gone through what was stored: it would take part of the machine."""
    async with asyncio.timeout(600):
        while orjson.loads(await api.call("GET", "/api/v1/sentinel"))["backlog"] > 0:  # noqa: ASYNC110
            await asyncio.sleep(0.2)


async def remove(couch: Server, db: str) -> None:
    rows = orjson.loads(
        await couch.call(
            "POST", "/_users/_all_docs", {"keys": [f"org.couchdb.user:{each}" for each in account_names()]}
        )
    )["rows"]
    gone = [{"_id": row["id"], "_rev": row["value"]["rev"], "_deleted": True} for row in rows if "error" not in row]
    await couch.call("POST", "/_users/_bulk_docs", {"docs": gone})
    for name in orjson.loads(await couch.call("GET", "/_all_dbs")):
        if name == db or name.startswith(f"{db}-"):
            await couch.call("DELETE", f"/{name}")


def works(api: Server, couch: Server, db: str) -> list[Work]:
    """The comparisons of one run, reads before writes.

    Contacts by phone are a view and two more reads after it, one for the places and one for their contacts.
    """
    reports = [f"rd{district}c{clinic}p{each}" for district in range(2) for clinic in range(10) for each in range(5)]
    person = orjson.dumps("+254700000000").decode().replace("+", "%2B")
    by_phone = f"/{db}/_design/medic-client/_view/contacts_by_phone?include_docs=true&key={person}"
    ready: dict[int, tuple[list[Any], list[Any]]] = {}

    async def stored(count: int) -> list[Any]:
        docs = [
            {"_id": secrets.token_hex(8), "type": "data_record", "form": "VISIT", "x": "x" * 300} for _ in range(count)
        ]
        rows = orjson.loads(await couch.call("POST", f"/{db}/_bulk_docs", {"docs": docs}))
        return [{**doc, "_rev": row["rev"]} for doc, row in zip(docs, rows, strict=True)]

    async def store_what_will_be_deleted(n: int) -> None:
        ready[n] = (await stored(DELETED), await stored(DELETED))
        await settle(api)

    async def delete_ours(n: int) -> None:
        answer = await api.call("POST", "/api/v1/bulk-delete", {"docs": [{"_id": doc["_id"]} for doc in ready[n][0]]})
        assert sum(len(batch) for batch in orjson.loads(answer)) == DELETED

    async def delete_theirs(n: int) -> None:
        docs = [{**doc, "_deleted": True} for doc in ready[n][1]]
        for start in range(0, DELETED, 100):
            await couch.call("POST", f"/{db}/_bulk_docs", {"docs": docs[start : start + 100]})

    async def users_theirs(n: int) -> None:
        rows = orjson.loads(await couch.call("GET", "/_users/_all_docs?include_docs=true"))["rows"]
        profiles = {"keys": [row["id"] for row in rows]}
        await couch.call("POST", f"/{db}/_all_docs?include_docs=true", profiles)

    def record(n: int) -> dict[str, Any]:
        return {"note": f"number {n}", "_meta": {"form": "VISIT", "from": "+254711000111", "reported_date": n}}

    def messages(n: int) -> list[dict[str, Any]]:
        unique = secrets.token_hex(6)
        return [{"id": f"{unique}-{each}", "from": f"+25471100{each:04}", "content": f"text {n}"} for each in range(10)]

    return [
        Work(
            "settings",
            1.0,
            lambda n: api.call("GET", "/api/v1/settings"),
            lambda n: couch.call("GET", f"/{db}/settings"),
        ),
        Work(
            "one document through the proxy",
            1.5,
            lambda n: api.call("GET", f"/{db}/d0c0p0"),
            lambda n: couch.call("GET", f"/{db}/d0c0p0"),
        ),
        Work(
            "hydrate 100 reports",
            2.5,
            lambda n: api.call("POST", "/api/v1/hydrate", {"doc_ids": reports}),
            lambda n: couch.call("POST", f"/{db}/_all_docs?include_docs=true", {"keys": reports}),
        ),
        Work(
            "contacts by phone",
            4.0,
            lambda n: api.call("GET", "/api/v1/contacts-by-phone?phone=%2B254700000000"),
            lambda n: couch.call("GET", by_phone),
        ),
        Work(
            "users, 1,000",
            2.5,
            lambda n: api.call("GET", "/api/v1/users"),
            users_theirs,
            rounds=10,
            parallel=False,
        ),
        Work(
            "one record",
            2.9,
            lambda n: api.call("POST", "/api/v2/records", record(n)),
            lambda n: couch.call("POST", f"/{db}", {"n": n, "x": "x" * 500}),
        ),
        Work(
            "10 messages of a gateway",
            8.0,
            lambda n: api.call("POST", "/api/sms", {"messages": messages(n)}),
            lambda n: couch.call("POST", f"/{db}/_bulk_docs", {"docs": messages(n)}),
            rounds=20,
        ),
        Work(
            "bulk delete of 1,000",
            1.2,
            delete_ours,
            delete_theirs,
            store_what_will_be_deleted,
            rounds=8,
            parallel=False,
        ),
    ]


async def median_ms(work: Work) -> tuple[float, float]:
    """Both sides by turns, each first as often, so that whatever else the machine does meets both.

    Also what they leave behind for the indexer and the worker.
    """
    times: tuple[list[float], list[float]] = ([], [])
    for n in range(work.rounds + 2):
        if work.make_ready:
            await work.make_ready(n)
        for side in (n % 2, 1 - n % 2):
            started = time.perf_counter()
            await (work.ours, work.theirs)[side](n)
            if n >= 2:  # the first two warm caches and connections
                times[side].append((time.perf_counter() - started) * 1000)
    return statistics.median(times[0]), statistics.median(times[1])


async def rate(call: Call, within_s: float) -> float:
    """Calls a second with eight clients."""
    done = 0
    until = time.perf_counter() + within_s

    async def client(number: int) -> None:
        nonlocal done
        while time.perf_counter() < until:
            await call(number * 1_000_000 + done)
            done += 1

    started = time.perf_counter()
    await asyncio.gather(*(client(number) for number in range(CLIENTS)))
    return done / (time.perf_counter() - started)


async def compare(work: Work, within_s: float) -> bool:
    ours, theirs = await median_ms(work)
    rates = ""
    if work.parallel:
        ours_rate, theirs_rate = await rate(work.ours, within_s), await rate(work.theirs, within_s)
        rates = f"{ours_rate:8.0f} {theirs_rate:8.0f}"
    met = ours / theirs <= work.aim
    verdict = "" if met else "  missed"
    print(f"{work.name:32} {ours:9.2f} {theirs:9.2f} {ours / theirs:7.2f} {work.aim:6.1f} {rates}{verdict}", flush=True)
    return met


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@asynccontextmanager
async def serving(couch_url: str | None, data: Path) -> AsyncIterator[tuple[str, str, str, tuple[str, str]]]:
    """A running `outpost serve`: the URLs of its API and of CouchDB, the main database, the administrator."""
    db = f"bench-{secrets.token_hex(4)}"
    port, store_port = free_port(), free_port()
    options = ["--port", str(port), "--store-port", str(store_port), "--data", str(data), "--log-level", "warning"]
    if couch_url:
        parts = urlsplit(couch_url)
        admin = (parts.username or "", parts.password or "")
        url = f"{parts.scheme}://{parts.hostname}:{parts.port}"
        options += ["--couch-url", f"{couch_url}/{db}"]
    else:
        admin, url = ("admin", "secret"), f"http://127.0.0.1:{store_port}"
        options += ["--admin", ":".join(admin), "--database", db]
    command = [sys.executable, "-m", "outpost", "serve", *options]
    process = await asyncio.create_subprocess_exec(*command, cwd=Path(__file__).parents[2])
    try:
        api = f"http://127.0.0.1:{port}"
        await until_up(f"{api}/api/v1/monitoring")
        yield api, url, db, admin
    finally:
        process.send_signal(signal.SIGTERM)
        await process.wait()


async def until_up(url: str) -> None:
    async with asyncio.timeout(60), aiohttp.ClientSession() as session:
        while True:
            try:
                async with session.get(url) as answer:
                    if answer.status == 200:
                        return
            except aiohttp.ClientConnectionError:
                pass
            await asyncio.sleep(0.2)


async def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--couch-url", help="a CouchDB with its administrator; default: the embedded store")
    parser.add_argument("--seconds", type=float, default=2.0, help="for each rate; default: 2")
    parser.add_argument("--only", default="", help="measure what has this in its name")
    arguments = parser.parse_args()
    unlimited = aiohttp.ClientTimeout(total=None)
    with tempfile.TemporaryDirectory() as data:
        async with (
            aiohttp.ClientSession(timeout=unlimited, cookie_jar=aiohttp.DummyCookieJar()) as ours,
            aiohttp.ClientSession(timeout=unlimited, cookie_jar=aiohttp.DummyCookieJar()) as theirs,
        ):
            async with serving(arguments.couch_url, Path(data)) as (api_url, couch_url, db, admin):
                api, couch = Server(ours, api_url), Server(theirs, couch_url)
                await couch.login(*admin)
                await fill(couch, db)
                await api.login(*admin)
                await settle(api)
                print(f"{os.cpu_count()} cores; ms: median of one client; /s: with {CLIENTS} clients")
                print(f"{'':32} {'API ms':>9} {'direct ms':>9} {'ratio':>7} {'aim':>6} {'API /s':>8} {'direct/s':>8}")
                chosen = [work for work in works(api, couch, db) if arguments.only in work.name]
                met = [await compare(work, arguments.seconds) for work in chosen]
            if arguments.couch_url:
                await remove(couch, db)
    return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
