"""Kills the embedded store again and again while clients write, and counts what it acknowledged and no longer has.

    .venv/bin/python scripts/bench/store_kill.py [--rounds 50] [--writers 8] [--seconds 1]

Each round starts the store on the same folder, writes with `_bulk_docs` on several connections, sends SIGKILL at a
random moment, and looks into a copy of the file: `PRAGMA quick_check`, the documents, their bodies, the counters. Exits
1 when anything is missing.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import shutil
import sqlite3
import sys
import tempfile
from pathlib import Path

import uvloop
from http_load import Target, connect, wait_until_ready
from peers import free_port, start_store

BATCH = 50


async def write(target: Target, name: str, acknowledged: set[str]) -> None:
    """Post batches until the connection breaks, noting the ids of each that was acknowledged."""
    number = 0
    try:
        connection = await connect(target)
        while True:
            ids = [f"{name}-{number}-{n}" for n in range(BATCH)]
            docs = [{"_id": doc_id, "padding": "x" * 300} for doc_id in ids]
            await connection.ask(target.request("POST", "/db/_bulk_docs", {"docs": docs}))
            acknowledged.update(ids)
            number += 1
    except OSError:
        return


def faults(file: Path, acknowledged: set[str]) -> list[str]:
    """What is wrong with a database file after a kill; its log is left for the store to recover."""
    with tempfile.TemporaryDirectory(prefix="outpost-kill-") as folder:
        copy = Path(shutil.copy(file, folder))
        if (log := Path(f"{file}-wal")).exists():
            shutil.copy(log, folder)
        return _faults(copy, acknowledged)


def _faults(file: Path, acknowledged: set[str]) -> list[str]:
    conn = sqlite3.connect(file)
    try:
        check = conn.execute("PRAGMA quick_check").fetchone()[0]
        stored = {row[0] for row in conn.execute("SELECT id FROM docs")}
        dangling = conn.execute(
            "SELECT count(*) FROM docs d LEFT JOIN bodies b ON b.num = d.body WHERE b.num IS NULL"
        ).fetchone()[0]
        counted = conn.execute("SELECT doc_count FROM info").fetchone()[0]
    finally:
        conn.close()
    found = [] if check == "ok" else [f"quick_check: {check}"]
    if missing := acknowledged - stored:
        found.append(f"{len(missing)} acknowledged documents are missing, {min(missing)} for one")
    if dangling:
        found.append(f"{dangling} documents have no body")
    if counted != len(stored):
        found.append(f"doc_count is {counted}, the documents are {len(stored)}")
    batches: dict[str, int] = {}
    for doc_id in stored:
        batch = doc_id.rpartition("-")[0]
        batches[batch] = batches.get(batch, 0) + 1
    if halves := [batch for batch, size in batches.items() if size != BATCH]:
        found.append(f"{len(halves)} batches are half written")
    return found


async def main(arguments: argparse.Namespace) -> int:
    acknowledged: set[str] = set()
    noise = random.Random(arguments.seed)
    with tempfile.TemporaryDirectory(prefix="outpost-kill-") as folder:
        data = Path(folder)
        for number in range(arguments.rounds):
            target = Target("store", "127.0.0.1", free_port())
            process = start_store(data, target.port)
            await wait_until_ready(target)
            if number == 0:
                connection = await connect(target)
                await connection.ask(target.request("PUT", "/db"))
                connection.close()
            before = len(acknowledged)
            writers = [
                asyncio.create_task(write(target, f"{number}-{writer}", acknowledged))
                for writer in range(arguments.writers)
            ]
            while len(acknowledged) == before:
                await asyncio.wait(writers, timeout=0.01)
            await asyncio.wait(writers, timeout=noise.random() * arguments.seconds)
            process.kill()
            process.wait()
            await asyncio.gather(*writers)
            found = await asyncio.to_thread(faults, data / "store" / "databases" / "db.sqlite", acknowledged)
            if found:
                print(f"round {number + 1}: {'; '.join(found)}")
                return 1
        print(
            f"{arguments.rounds} kills during writes: all of {len(acknowledged):,} acknowledged documents are there,"
            " every quick_check is ok"
        )
    return 0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=50, help="kills (default: 50)")
    parser.add_argument("--writers", type=int, default=8, help="connections that write (default: 8)")
    parser.add_argument(
        "--seconds", type=float, default=1.0, help="the kill comes at most so long after a first answer"
    )
    parser.add_argument("--seed", type=int, default=1, help="of the moments of the kills (default: 1)")
    return parser.parse_args()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        sys.exit(runner.run(main(arguments())))
