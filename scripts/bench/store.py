"""How fast the embedded store is beside pouchdb-server and CouchDB: the same load from the same client, in one run.

    .venv/bin/python scripts/bench/store.py [--rounds 3] [--seconds 2] [--only TEXT] [--no-peers]

COUCH_URL=http://admin:password@host:port adds a CouchDB. Every row is measured on each server in turn, `--rounds`
times, and the best round counts, so that what else the machine does disturbs least. All requests are authenticated.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from itertools import count
from pathlib import Path
from typing import Any

import uvloop
from http_load import Connection, Target, connect, rate, seconds_of
from peers import running_pouchdb_server, running_store

DOCS = 20_000
PATIENTS = 4_000  # five documents each
MAP = "function (doc) { if (doc.patient_id) { emit(doc.patient_id, doc.reported_date); } }"


def document(number: int) -> dict[str, Any]:
    """About 1 KB, shaped like a report."""
    noise = random.Random(number)
    return {
        "_id": f"report-{number:07d}",
        "type": "data_record",
        "form": noise.choice(("pregnancy", "delivery", "assessment")),
        "patient_id": f"{number % PATIENTS:05d}",
        "reported_date": 1_700_000_000_000 + number * 60_000,
        "contact": {"_id": f"person-{number % 97}", "parent": {"_id": f"clinic-{number % 31}"}},
        "fields": {f"question_{n}": noise.random() * 100 if n % 2 else f"answer {noise.random()}" for n in range(12)},
        "notes": "".join(noise.choice("abcdefghij klmnop") for _ in range(300)),
    }


class Bench:
    """The databases and requests of one server."""

    def __init__(self, target: Target, seconds: float) -> None:
        self.target = target
        self.seconds = seconds
        self.db = f"bench-{os.getpid()}-{time.time_ns() % 10**9}"
        self.fresh = count()
        self.rows: dict[str, float] = {}

    async def prepare(self) -> None:
        """The database with 20,000 documents, its view and its index."""
        connection = await connect(self.target)
        await connection.ask(self.put(""))
        for start in range(0, DOCS, 1000):
            docs = [document(number) for number in range(start, start + 1000)]
            await connection.ask(self.post("/_bulk_docs", {"docs": docs}))
        await self.build_view(connection, "read")
        await connection.ask(self.post("/_index", {"index": {"fields": ["patient_id"]}, "ddoc": "by", "name": "by"}))
        await connection.ask(self.post("/_find", {"selector": {"patient_id": "1"}}))
        connection.close()

    async def drop(self) -> None:
        connection = await connect(self.target)
        await connection.ask(self.target.request("DELETE", f"/{self.db}"))
        connection.close()

    def get(self, path: str) -> bytes:
        return self.target.request("GET", f"/{self.db}{path}")

    def put(self, path: str, body: object = None) -> bytes:
        return self.target.request("PUT", f"/{self.db}{path}", body)

    def post(self, path: str, body: object) -> bytes:
        return self.target.request("POST", f"/{self.db}{path}", body)

    # -- requests without end

    def gets(self) -> Iterator[bytes]:
        noise = random.Random(1)
        made = [self.get(f"/report-{noise.randrange(DOCS):07d}") for _ in range(2000)]
        while True:
            yield from made

    def puts(self) -> Iterator[bytes]:
        docs = [{**document(number), "patient_id": None} for number in range(100)]
        for doc in docs:
            del doc["_id"]
        for number in self.fresh:
            yield self.put(f"/new-{number:09d}", docs[number % 100])

    def bulk_writes(self) -> Iterator[bytes]:
        docs = [{**document(number), "patient_id": None} for number in range(500)]
        while True:
            for doc in docs:
                doc["_id"] = f"bulk-{next(self.fresh):09d}"
            yield self.post("/_bulk_docs", {"docs": docs})

    def keyed(self, path: str, body: Callable[[list[str]], object]) -> Iterator[bytes]:
        noise = random.Random(2)
        made = []
        for _ in range(100):
            ids = [f"report-{noise.randrange(DOCS):07d}" for _ in range(100)]
            made.append(self.post(path, body(ids)))
        while True:
            yield from made

    def key_queries(self) -> Iterator[bytes]:
        made = [self.get(f"/_design/read/_view/by_patient?key=%22{n:05d}%22") for n in range(PATIENTS)]
        while True:
            yield from made

    def finds(self) -> Iterator[bytes]:
        made = [self.post("/_find", {"selector": {"patient_id": f"{n:05d}"}, "limit": 25}) for n in range(PATIENTS)]
        while True:
            yield from made

    # -- rows

    async def build_view(self, connection: Connection, name: str) -> None:
        """A view with a map no other design document has, from its upload to its first answer."""
        source = MAP.replace("{ if", f"{{ /* {name} */ if", 1)
        await connection.ask(self.put(f"/_design/{name}", {"views": {"by_patient": {"map": source}}}))
        await connection.ask(self.get(f"/_design/{name}/_view/by_patient?limit=1"))

    async def view_build_rate(self) -> float:
        connection = await connect(self.target)
        name = f"build{next(self.fresh)}"
        took = await seconds_of(lambda: self.build_view(connection, name))
        connection.close()
        return DOCS / took

    async def stream_rate(self, path: str, rows: int) -> float:
        """Rows a second of one long answer, asked for until the time is over."""
        return rows * await rate(self.target, self.again(self.get(path)), 1, self.seconds)

    def again(self, request: bytes) -> Iterator[bytes]:
        while True:
            yield request

    async def bulk_rate(self) -> float:
        """Only the waiting counts: the bodies are made beforehand."""
        connection = await connect(self.target)
        bodies = self.bulk_writes()
        await connection.ask(next(bodies))
        taken, batches = 0.0, 0
        while taken < self.seconds:
            request = next(bodies)
            taken += await seconds_of(lambda request=request: connection.ask(request))  # type: ignore[misc]
            batches += 1
        connection.close()
        return batches * 500 / taken


Row = Callable[[Bench], Awaitable[float]]


def asks(requests: Callable[[Bench], Iterator[bytes]], clients: int, each: int = 1) -> Row:
    """Requests (or what each of them holds) a second."""

    async def measure(bench: Bench) -> float:
        return each * await rate(bench.target, requests(bench), clients, bench.seconds)

    return measure


def streams(path: str, rows: int = DOCS) -> Row:
    return lambda bench: bench.stream_rate(path, rows)


def _all_docs(bench: Bench) -> Iterator[bytes]:
    return bench.keyed("/_all_docs?include_docs=true", lambda ids: {"keys": ids})


def _bulk_get(bench: Bench) -> Iterator[bytes]:
    return bench.keyed("/_bulk_get", lambda ids: {"docs": [{"id": doc_id} for doc_id in ids]})


# What is measured, in this order: what reads the 20,000 documents comes before what adds more.
ROWS: dict[str, Row] = {
    "GET one document, 1 client, requests/s": asks(Bench.gets, 1),
    "GET one document, 16 clients, requests/s": asks(Bench.gets, 16),
    "_all_docs of 100 keys with documents, docs/s": asks(_all_docs, 1, 100),
    "_bulk_get of 100, docs/s": asks(_bulk_get, 1, 100),
    "view build of 20,000, docs/s": Bench.view_build_rate,
    "view read of 20,000, rows/s": streams("/_design/read/_view/by_patient"),
    "view read of 2,000 with documents, rows/s": streams(
        "/_design/read/_view/by_patient?include_docs=true&limit=2000", 2000
    ),
    "view key=, 1 client, requests/s": asks(Bench.key_queries, 1),
    "view key=, 16 clients, requests/s": asks(Bench.key_queries, 16),
    "_changes of 20,000, rows/s": streams("/_changes?limit=20000"),
    "_changes of 20,000 with documents, rows/s": streams("/_changes?limit=20000&include_docs=true"),
    "_find by index, 1 client, requests/s": asks(Bench.finds, 1),
    "_find by index, 16 clients, requests/s": asks(Bench.finds, 16),
    "PUT one document, 1 client, requests/s": asks(Bench.puts, 1),
    "PUT one document, 16 clients, requests/s": asks(Bench.puts, 16),
    "_bulk_docs of 500, docs/s": Bench.bulk_rate,
}


async def main(arguments: argparse.Namespace) -> None:
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="outpost-bench-")))
        store, _ = await stack.enter_async_context(running_store(folder / "store"))
        targets = [store]
        if not arguments.no_peers:
            pouchdb = await stack.enter_async_context(running_pouchdb_server(folder / "pouchdb"))
            targets += [pouchdb] if pouchdb else []
        if url := os.environ.get("COUCH_URL"):
            targets.append(Target.from_url("CouchDB", url))
        benches = [Bench(target, arguments.seconds) for target in targets]
        for bench in benches:
            print(f"filling {bench.target.name} ...", file=sys.stderr, flush=True)
            await bench.prepare()
        names = [name for name in ROWS if arguments.only in name]
        print(f"{'':46}" + "".join(f"{bench.target.name:>16}" for bench in benches) + "   ratio to each")
        for name in names:
            for _ in range(arguments.rounds):
                for bench in benches:
                    bench.rows[name] = max(bench.rows.get(name, 0.0), await ROWS[name](bench))
            rates = [bench.rows[name] for bench in benches]
            ratios = "".join(f"{rates[0] / other:8.1f}" for other in rates[1:])
            print(f"{name:46}" + "".join(f"{value:16,.0f}" for value in rates) + ratios, flush=True)
        for bench in benches:
            await bench.drop()


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--rounds", type=int, default=3, help="times each row is measured; the best counts (default: 3)"
    )
    parser.add_argument("--seconds", type=float, default=2.0, help="of each measurement (default: 2)")
    parser.add_argument("--only", default="", help="rows whose name holds this text")
    parser.add_argument("--no-peers", action="store_true", help="leave pouchdb-server out")
    return parser.parse_args()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main(arguments()))
