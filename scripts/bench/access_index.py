"""The access index alone: how fast it is built, how big it is, and that its answers do not grow with the database.

    .venv/bin/python scripts/bench/access_index.py [--sizes 10000,100000,1000000]

Builds an index of a made-up country for each size in a process of its own and prints a row for each: processor time
throughout, so that a busy machine changes little. Each list stands beside a bare query that reads the very same rows
by their keys, as JSON, in the same run. Exits 1 when an aim is missed.
"""

from __future__ import annotations

import argparse
import itertools
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from hashlib import md5
from pathlib import Path
from typing import Any

from nation import Nation, name, report

sys.path.insert(0, str(Path(__file__).parents[2]))

from api.access import feed, queries, schema
from api.access.feed import Place
from api.access.listing import LIVE, listing, visible_sql
from api.access.rules import Scope, facts_of, scope_of
from api.access.writer import Entry, IndexWriter

BATCH = 500
ROUNDS = 15
USERS = {200: 0, 2_000: 1, 10_000: 2}  # documents -> health center
BUILD_AIM, BYTES_AIM, LIST_AIM_MS, FLAT_AIM = 15_000, 250, 25.0, 2.0
BARE = """
SELECT json_group_array(json_object('id', node.id, 'rev', node.rev)) FROM json_each(?) AS asked
CROSS JOIN node ON node.subject = asked.value ->> 0 AND node.n = asked.value ->> 1
"""


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--sizes", default="10000,100000,1000000", help="documents, smallest first")
    arguments.add_argument("--one", type=int, help=argparse.SUPPRESS)
    asked = arguments.parse_args()
    if asked.one:
        with tempfile.TemporaryDirectory() as folder:
            print(json.dumps(measure(asked.one, Path(folder) / "access.sqlite")))
        return 0
    found = [measured_alone(int(size)) for size in asked.sizes.split(",")]
    show(found)
    return judge(found)


def measured_alone(size: int) -> dict[str, Any]:
    command = [sys.executable, __file__, "--one", str(size)]
    answer: dict[str, Any] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    return answer


def measure(size: int, path: Path) -> dict[str, Any]:
    """Build the index and ask it; times in milliseconds of processor time."""
    writer = IndexWriter.open(path, "bench")
    half_memory = 0
    docs, busy_s, count = Nation(size).docs(), 0.0, 0
    while batch := list(itertools.islice(docs, BATCH)):
        revs = [first_rev(doc["_id"]) for doc in batch]
        started_s = time.thread_time()
        entries = [Entry(doc["_id"], rev, False, facts_of(doc)) for doc, rev in zip(batch, revs, strict=True)]
        writer.apply(entries, str(count), 0)
        busy_s += time.thread_time() - started_s
        count += len(batch)
        if count <= size // 2:
            half_memory = peak_mb()
    writer.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    found: dict[str, Any] = {
        "docs": count,
        "built": count / busy_s,
        "bytes": path.stat().st_size / count,
        "peak_mb": peak_mb(),
        "half_mb": half_memory,
    }
    reader = schema.connect_reader(path)
    for docs_of_user, center in USERS.items():
        scope = scope_of("asha", ["chw"], [name(f"h{center}")], name(f"h{center}p"), [], False)
        found[f"list_{docs_of_user}"] = cpu_ms(lambda scope=scope: listing(reader, scope))
        pairs = numbers(reader, scope)
        found[f"bare_{docs_of_user}"] = cpu_ms(lambda pairs=pairs: reader.execute(BARE, (pairs,)).fetchall())
        found[f"rows_{docs_of_user}"] = listing(reader, scope).total
    scope = scope_of("asha", ["chw"], [name("h2")], name("h2p"), [], False)
    before = writer.state.change
    changed = [report(2, number, number) for number in range(10)]
    writer.apply([Entry(doc["_id"], "2-" + "0" * 32, False, facts_of(doc)) for doc in changed], "later", 0)
    found["gap_10"] = cpu_ms(lambda: feed.changes(reader, scope, Place.at(before), 100, deletions=True))
    found["gap_0"] = cpu_ms(lambda: feed.changes(reader, scope, Place.at(before + 10), 100, deletions=True))
    assert len(feed.changes(reader, scope, Place.at(before), 100, deletions=True).rows) == 10
    writer.close()
    return found


def first_rev(doc_id: str) -> str:
    return "1-" + md5(doc_id.encode(), usedforsecurity=False).hexdigest()


def peak_mb() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def numbers(reader: Any, scope: Scope) -> str:
    """The keys of the scope's rows, so that a bare query can read them."""
    sql, args = visible_sql(queries.ground_of(reader, scope), LIVE)
    return json.dumps(reader.execute(f"{sql} SELECT subject, n FROM found ORDER BY id", args).fetchall())


def cpu_ms(work: Callable[[], object]) -> float:
    """The median of some rounds after a first."""
    work()
    times = []
    for _ in range(ROUNDS):
        started_s = time.thread_time()
        work()
        times.append(1000 * (time.thread_time() - started_s))
    return statistics.median(times)


def show(found: list[dict[str, Any]]) -> None:
    print(
        f"{'documents':>10} {'built/s':>8} {'bytes/doc':>9} {'MB at half, at end':>18} {'gap 0 ms':>9} {'gap 10 ms':>9}"
    )
    for each in found:
        memory = f"{each['half_mb']}, {each['peak_mb']}"
        print(
            f"{each['docs']:>10,} {each['built']:>8,.0f} {each['bytes']:>9.0f} {memory:>18} {each['gap_0']:>9.2f} "
            f"{each['gap_10']:>9.2f}"
        )
    print(f"\n{'documents':>10} {'of the user':>11} {'list ms':>8} {'bare query ms':>13} {'ratio':>6}")
    for each in found:
        for user in USERS:
            ours, bare = each[f"list_{user}"], each[f"bare_{user}"]
            print(f"{each['docs']:>10,} {each[f'rows_{user}']:>11,} {ours:>8.2f} {bare:>13.2f} {ours / bare:>6.2f}")


def judge(found: list[dict[str, Any]]) -> int:
    last, first = found[-1], found[0]
    missed = [
        text
        for text, missed in (
            (f"built at {last['built']:,.0f} documents/s, aim {BUILD_AIM:,}", last["built"] < BUILD_AIM),
            (f"{last['bytes']:.0f} bytes a document, aim {BYTES_AIM}", last["bytes"] > BYTES_AIM),
            (f"list in {last['list_10000']:.1f} ms, aim {LIST_AIM_MS}", last["list_10000"] > LIST_AIM_MS),
            ("a gap of 10 grows with the database", last["gap_10"] > FLAT_AIM * first["gap_10"]),
        )
        if missed
    ]
    print("\n" + ("missed: " + "; ".join(missed) if missed else "all aims met"))
    return int(bool(missed))


if __name__ == "__main__":
    sys.exit(main())
