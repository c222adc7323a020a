"""What the embedded store costs with many documents: its memory at each kind of work, and how long it takes to start.

    .venv/bin/python scripts/bench/store_size.py [--docs 500000] [--data DIR]

Fills a database over HTTP, restarts the store on it, then streams `_all_docs` and `_changes` of everything, builds a
view of everything and reads it whole. Memory is the most that was resident during each step (Linux only). With `--data`
the folder is kept, and used again by the next run.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import uvloop
from http_load import Connection, Target, connect, wait_until_ready
from peers import free_port, start_store

MAP = "function (doc) { if (doc.patient_id) { emit([doc.form, doc.patient_id], doc.reported_date); } }"
MOST_BYTES = 300 * 1024 * 1024
MOST_START_S = 2.0


def document(number: int) -> dict[str, object]:
    """About half a kilobyte, shaped like a report."""
    return {
        "_id": f"report-{number * 7_368_787 % 10**9:09d}",
        "type": "data_record",
        "form": ("pregnancy", "delivery", "assessment")[number % 3],
        "patient_id": f"{number % 50_000:05d}",
        "reported_date": 1_700_000_000_000 + number * 60_000,
        "contact": {"_id": f"person-{number % 997}", "parent": {"_id": f"clinic-{number % 331}"}},
        "fields": {f"question_{n}": (number * n) % 1013 for n in range(8)},
        "notes": f"{number:032b} " * 4,
    }


class Server:
    """The store under test, as a process that can be started again."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self.target = Target("store", "127.0.0.1", free_port())
        self.process: subprocess.Popen[bytes]
        self.connection: Connection

    async def start(self) -> float:
        """Seconds from the start of the process to its first answer, and to the first of the database itself."""
        started = time.perf_counter()
        self.process = start_store(self.data, self.target.port)
        await wait_until_ready(self.target)
        self.connection = await connect(self.target)
        if (self.data / "store" / "databases" / "db.sqlite").exists():
            await self.ask("GET", "/db")
        return time.perf_counter() - started

    def stop(self) -> None:
        self.connection.close()
        self.process.terminate()
        self.process.wait()

    async def ask(self, method: str, path: str, body: object = None) -> int:
        """Bytes of the answer, which is thrown away as it comes."""
        return (await self.connection.ask(self.target.request(method, path, body))).size_bytes

    def forget_peak(self) -> None:
        Path(f"/proc/{self.process.pid}/clear_refs").write_text("5")

    def peak_bytes(self) -> int:
        """The most that was resident since the peak was last forgotten."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
        raise RuntimeError("this system does not tell the memory of a process")


async def fill(server: Server, docs: int) -> None:
    await server.ask("PUT", "/db")
    for start in range(0, docs, 1000):
        batch = [document(number) for number in range(start, min(start + 1000, docs))]
        await server.ask("POST", "/db/_bulk_docs", {"docs": batch})


async def main(arguments: argparse.Namespace) -> int:
    with tempfile.TemporaryDirectory(prefix="outpost-size-") as folder:
        server = Server(arguments.data or Path(folder))
        failed: list[str] = []

        async def step(name: str, work: Callable[[], Awaitable[object]]) -> None:
            server.forget_peak()
            started = time.perf_counter()
            await work()
            took, peak = time.perf_counter() - started, server.peak_bytes()
            print(f"{name:44}{took:9.1f} s {peak / 2**20:9.0f} MB", flush=True)
            if peak > MOST_BYTES:
                failed.append(name)

        if not (server.data / "store" / "databases" / "db.sqlite").exists():
            await server.start()
            await step(f"writing {arguments.docs:,} documents", lambda: fill(server, arguments.docs))
            server.stop()
        start_s = await server.start()
        print(f"{'start to the first answer of the database':44}{start_s:9.1f} s {server.peak_bytes() / 2**20:9.0f} MB")
        if start_s > MOST_START_S:
            failed.append("start")
        await step("_all_docs of everything", lambda: server.ask("GET", "/db/_all_docs"))
        await step("_all_docs with documents", lambda: server.ask("GET", "/db/_all_docs?include_docs=true"))
        await step("_changes of everything", lambda: server.ask("GET", "/db/_changes"))
        await step("_changes with documents", lambda: server.ask("GET", "/db/_changes?include_docs=true"))
        view = f"/db/_design/size-{random.getrandbits(32):x}"
        source = MAP.replace("{ if", f"{{ /* {view} */ if", 1)
        await server.ask("PUT", view, {"views": {"v": {"map": source, "reduce": "_count"}}})
        await step("view build of everything", lambda: server.ask("GET", f"{view}/_view/v?reduce=false&limit=1"))
        await step("view read of everything", lambda: server.ask("GET", f"{view}/_view/v?reduce=false"))
        await step(
            "view read with documents", lambda: server.ask("GET", f"{view}/_view/v?reduce=false&include_docs=true")
        )
        await step("view reduced by form", lambda: server.ask("GET", f"{view}/_view/v?group_level=1"))
        random_keys = [document(random.randrange(arguments.docs))["_id"] for _ in range(10_000)]
        await step(
            "_all_docs of 10,000 keys with documents",
            lambda: server.ask("POST", "/db/_all_docs?include_docs=true", {"keys": random_keys}),
        )
        server.stop()
    if failed:
        print(f"beyond {MOST_BYTES // 2**20} MB or {MOST_START_S} s: {', '.join(failed)}")
    return 1 if failed else 0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--docs", type=int, default=500_000, help="documents (default: 500,000)")
    parser.add_argument("--data", type=Path, help="a folder to keep (default: a temporary one)")
    return parser.parse_args()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        sys.exit(runner.run(main(arguments())))
