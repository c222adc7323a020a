"""How fast reports are exported, and in how much memory, beside the plain view read with its documents.

    .venv/bin/python scripts/bench/export.py [--reports 1000000]
    COUCH_URL=http://admin:secret@127.0.0.1:5984 .venv/bin/python scripts/bench/export.py   # on CouchDB

Both are read in turns by the same client, which throws the bytes away; the best of each counts. The memory is the most
that the API process had while it exported. Exits 1 when an aim is missed.
"""

# ruff: noqa: E402

from __future__ import annotations

import argparse
import asyncio
import os
import secrets
import socket
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

# Started by its path, this file would be found in place of the package of the same name.
sys.path[0] = str(Path(__file__).parents[2])

from core.config import Config
from core.couch.client import Couch, Database, connect
from core.prepare import prepare
from scripts.bench.sentinel import answers, embedded_store

LEAST_SHARE, MOST_MB = 0.6, 200
BATCH = 2_000
WORKERS = 1_000  # who submit the reports, a hundred to a district
FORMS = 10
ROUNDS = 2


def contacts() -> Iterator[dict[str, Any]]:
    for district in range(WORKERS // 100):
        yield {"_id": f"district-{district}", "type": "district_hospital", "name": f"District {district}"}
    for number in range(WORKERS):
        parent = {"_id": f"district-{number // 100}"}
        yield {"_id": f"center-{number}", "type": "health_center", "name": f"Center {number}", "parent": parent}
        yield {"_id": f"worker-{number}", "type": "person", "name": f"Worker {number}", "parent": center(number)}


def center(number: int) -> dict[str, Any]:
    return {"_id": f"center-{number}", "parent": {"_id": f"district-{number // 100}"}}


def report(number: int) -> dict[str, Any]:
    worker = number % WORKERS
    return {
        "_id": f"{number * 2_654_435_761 % 2**32:08x}-report-{number}",
        "type": "data_record",
        "form": f"form{number % FORMS}",
        "content_type": "xml",
        "reported_date": 1_700_000_000_000 + number * 1_000,
        "from": f"+2547{worker:08}",
        "contact": {"_id": f"worker-{worker}", "parent": center(worker)},
        "fields": {
            "patient_id": f"{number % 50_000:05}",
            "patient_name": f"Neema {number}",
            "note": 'said "ok", then left',
            "visit": {"number": number % 9, "danger_signs": ["fever", "cough"], "done": True},
            "vitals": {"weight": 61.5, "temperature": 37.1, "pulse": 80, "comment": None},
            **{f"question_{number % FORMS}_{each}": "yes" for each in range(8)},
        },
    }


async def fill(db: Database, count: int) -> None:
    await db.bulk_docs(list(contacts()))
    for start in range(0, count, BATCH):
        await db.bulk_docs([report(number) for number in range(start, min(count, start + BATCH))])
    async with asyncio.timeout(3600):
        while True:
            try:
                await db.view("medic-client", "reports_by_date", limit=1)
                await db.view("medic-client", "reports_by_form", limit=1, group=True)
                return
            except Exception as error:
                print(f"  views are being built: {error}", flush=True)


@asynccontextmanager
async def api(config: Config) -> AsyncIterator[tuple[str, int]]:
    """The API's address and the process that started its others."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        options = ["--port", str(port), "--data", folder, "--couch-url", str(config.couch_url), "--workers", "1"]
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "outpost", "api", *options, "--log-level", "error", stdout=asyncio.subprocess.DEVNULL
        )
        try:
            url = f"http://127.0.0.1:{port}"
            for _ in range(600):
                if await asyncio.to_thread(answers, f"{url}/setup/poll"):
                    break
                await asyncio.sleep(0.1)
            yield url, process.pid
        finally:
            process.terminate()
            await process.wait()


def family(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(each for child in children for each in family(int(child)))]


def worker_of(pid: int) -> int:
    """The process that answers requests: the access and the search index have one of their own."""
    return next(each for each in family(pid) if b"worker" in Path(f"/proc/{each}/cmdline").read_bytes().split(b"\0"))


def forget_peak(pid: int) -> None:
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def peak_mb(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


async def read_s(session: aiohttp.ClientSession, url: str) -> tuple[float, int, int]:
    """Seconds until the first byte and the last, bytes, lines."""
    started_s, size, lines = time.perf_counter(), 0, 0
    async with session.get(url) as response:
        assert response.status == 200, await response.text()
        async for chunk in response.content.iter_chunked(2**18):
            size += len(chunk)
            lines += chunk.count(b"\n")
    return time.perf_counter() - started_s, size, lines


async def until_idle(url: str, session: aiohttp.ClientSession) -> None:
    """Wait until the API's own indexes are level, so that they do not share the processors."""
    async with asyncio.timeout(3600):
        while True:
            async with session.get(f"{url}/api/v1/contact/uuid?freetext=worker&type=person") as response:
                if response.status == 200 and not any("lag" in name.lower() for name in response.headers):
                    return
            await asyncio.sleep(1)


async def measure(count: int, server_url: str) -> bool:
    config = Config().with_couch_url(f"{server_url}/bench-{secrets.token_hex(4)}")
    async with connect(config.replace(request_timeout_s=3600)) as couch:
        try:
            await prepare(couch, config)
            started_s = time.perf_counter()
            await fill(couch.db(config.database), count)
            print(f"{count:,} reports stored and indexed in {time.perf_counter() - started_s:.0f} s", flush=True)
            return await compare(couch, config, count)
        finally:
            for name in await couch.all_dbs():
                if name.startswith(config.database):
                    await couch.db(name).delete_database()


async def compare(couch: Couch, config: Config, count: int) -> bool:
    headers = {"Authorization": config.authorization, "Accept-Encoding": "identity"}
    timeout = aiohttp.ClientTimeout(total=None)
    view = f"{config.server_url}/{config.database}/_design/medic-client/_view/reports_by_date"
    async with api(config) as (url, pid), aiohttp.ClientSession(headers=headers, timeout=timeout) as session:
        await until_idle(url, session)
        worker = worker_of(pid)
        forget_peak(worker)
        plain: list[float] = []
        exported: list[float] = []
        for _ in range(ROUNDS):
            took_s, size, lines = await read_s(session, f"{view}?include_docs=true&descending=true")
            plain.append(count / took_s)
            print(f"plain view   {count / took_s:>9,.0f} reports/s   {size / 2**20:,.0f} MB", flush=True)
            took_s, size, lines = await read_s(session, f"{url}/api/v2/export/reports")
            exported.append(count / took_s)
            assert lines == count + 1, f"{lines} lines of {count} reports"
            print(f"export       {count / took_s:>9,.0f} reports/s   {size / 2**20:,.0f} MB", flush=True)
        share, memory = max(exported) / max(plain), peak_mb(worker)
    good = share >= LEAST_SHARE and memory < MOST_MB
    print(f"{share:.0%} of the plain view's speed; {memory:.0f} MB at most; {'ok' if good else 'below the aim'}")
    return good


async def main(count: int) -> int:
    if couch_url := os.environ.get("COUCH_URL"):
        return 0 if await measure(count, couch_url.rstrip("/")) else 1
    async with embedded_store() as server_url:
        return 0 if await measure(count, server_url) else 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reports", type=int, default=100_000, help="how many (default: 100,000)")
    sys.exit(asyncio.run(main(parser.parse_args().reports)))
