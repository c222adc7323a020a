"""The search index alone: how fast it is built, how big it is, and how long a search takes in a large database.

    .venv/bin/python scripts/bench/search.py [--sizes 10000,100000,1000000]

Builds an index of a made-up country for each size, in a process of its own, and prints processor time, so that a busy
machine changes little. Each search stands beside a bare SQLite query that reads the very same rows by their keys, in
the same order and to the same limit, in the same run. Below that, the index stands beside the plain table of tokens
that it might have been, filled with the same documents. Exits 1 when an aim is missed.
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import resource
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from nation import Nation

sys.path.insert(0, str(Path(__file__).parents[2]))

from api.access.schema import connect_writer
from api.search import schema
from api.search.index import find_ids, find_page
from api.search.query import match_of
from api.search.tokens import Kind, content_of
from api.search.writer import SearchWriter

BATCH = 500
ROUNDS = 9
COMPARED = 100_000  # documents in the plain table at most: it takes too long to fill it with more
BUILD_AIM, BYTES_AIM, RATIO_AIM = 10_000, 250, 3.0
FIRST = [
    f"{a}{b}{c}" for a in ("ka", "mo", "lu", "si", "re") for b in ("ra", "ne", "mi", "so") for c in ("ni", "la", "sha")
]
LAST = [
    f"{a}{b}{c}" for a in ("wa", "o", "ki", "mu") for b in ("tho", "kel", "man", "de", "gi") for c in ("a", "o", "ngo")
]
SYMPTOMS = ["fever", "cough", "diarrhoea", "rash", "headache", "vomiting", "none"]
SEARCHES = {
    "a whole name": (Kind.CONTACT, 'exact_match:"name:karani wathoa 77"'),
    "two words": (Kind.CONTACT, "karani AND wathoa"),
    "a common first name": (Kind.CONTACT, "karani*"),
    "three letters": (Kind.CONTACT, "kar*"),
    "a symptom": (Kind.REPORT, "diarrhoea"),
    "reports of 100 submitters": (Kind.REPORT, ""),
}
BARE = """
SELECT doc.id, doc.sort FROM json_each(:numbers) AS asked CROSS JOIN doc ON doc.n = asked.value
ORDER BY doc.sort, doc.id LIMIT 50
"""


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--sizes", default="10000,100000,1000000", help="documents, smallest first")
    arguments.add_argument("--one", type=int, help=argparse.SUPPRESS)
    arguments.add_argument("--plain", type=int, help=argparse.SUPPRESS)
    asked = arguments.parse_args()
    if asked.one or asked.plain:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "search.sqlite"
            print(json.dumps(measure(asked.one, path) if asked.one else measure_plain(asked.plain, path)))
        return 0
    sizes = [int(size) for size in asked.sizes.split(",")]
    found = [measured_alone("--one", size) for size in sizes]
    plain = measured_alone("--plain", min(COMPARED, sizes[-1]))
    show(found, plain)
    return judge(found)


def measured_alone(what: str, size: int) -> dict[str, Any]:
    command = [sys.executable, __file__, what, str(size)]
    answer: dict[str, Any] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    return answer


def documents(size: int) -> Iterator[dict[str, Any]]:
    """The country's documents with names, phones and answers to search for, the same in every run."""
    dice = random.Random(1)
    for doc in Nation(size).docs():
        if doc["type"] == "data_record":
            doc["fields"] |= {
                "patient_name": f"{dice.choice(FIRST)} {dice.choice(LAST)}",
                "symptom": dice.choice(SYMPTOMS),
                "weight": dice.randrange(400) / 10,
                "note": " ".join(dice.choices(FIRST, k=6)),
            }
        else:
            name = f"{dice.choice(FIRST)} {dice.choice(LAST)} {dice.randrange(1000)}"
            doc |= {"name": name, "notes": "added by a volunteer", "phone": f"+2547{dice.randrange(10**8):08}"}
        yield doc


def batches(size: int) -> Iterator[list[dict[str, Any]]]:
    docs = documents(size)
    while batch := list(itertools.islice(docs, BATCH)):
        yield batch


def measure(size: int, path: Path) -> dict[str, Any]:
    """Build the index and ask it; times in milliseconds of processor time."""
    writer = SearchWriter.open(path, "bench")
    busy_s, count, half_mb = 0.0, 0, 0
    submitters: dict[str, None] = {}
    for batch in batches(size):
        started_s = time.thread_time()
        writer.apply({doc["_id"]: content_of(doc) for doc in batch}, str(count), 0)
        busy_s += time.thread_time() - started_s
        count += len(batch)
        half_mb = peak_mb() if count <= size // 2 else half_mb
        submitters |= {doc["contact"]["_id"]: None for doc in batch if doc["type"] == "data_record"}
    writer.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    started_s = time.thread_time()
    again = list(itertools.islice(documents(size), BATCH))
    writer.apply({doc["_id"]: content_of(doc) for doc in again}, "again", 0)
    found: dict[str, Any] = {
        "docs": count,
        "built": count / busy_s,
        "unchanged": BATCH / (time.thread_time() - started_s),
        "bytes": path.stat().st_size / count,
        "half_mb": half_mb,
        "peak_mb": peak_mb(),
        "searches": {},
    }
    reader = schema.connect_reader(path)
    many = " OR ".join(f'exact_match:"contact:{each}"' for each in list(submitters)[:100])
    for name, (kind, query) in SEARCHES.items():
        match = match_of(query or many, kind)
        ids = find_ids(reader, kind, match, None, count)
        numbers = json.dumps([reader.execute("SELECT n FROM doc WHERE id = ?", (each,)).fetchone()[0] for each in ids])
        page = find_page(reader, kind, match, None, 50, descending=False)
        assert [tuple(hit) for hit in page.hits] == reader.execute(BARE, {"numbers": numbers}).fetchall()
        found["searches"][name] = {
            "hits": len(ids),
            "ids_ms": cpu_ms(lambda kind=kind, match=match: find_ids(reader, kind, match, None, 50)),
            "page_ms": cpu_ms(
                lambda kind=kind, match=match: find_page(reader, kind, match, None, 50, descending=False)
            ),
            "bare_ms": cpu_ms(lambda numbers=numbers: reader.execute(BARE, {"numbers": numbers}).fetchall()),
        }
    writer.close()
    return found


def measure_plain(size: int, path: Path) -> dict[str, Any]:
    """The same documents in a table of (token, document): the design that was not taken."""
    connection: sqlite3.Connection = connect_writer(path)
    connection.execute("CREATE TABLE doc (n INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, kind INTEGER, sort)")
    connection.execute("CREATE TABLE posting (token TEXT, n INTEGER, PRIMARY KEY (token, n)) WITHOUT ROWID")
    busy_s, count = 0.0, 0
    for batch in batches(size):
        started_s = time.thread_time()
        contents = [(count + at, doc["_id"], content_of(doc)) for at, doc in enumerate(batch)]
        docs = [(n, doc_id, int(each.kind), each.sort) for n, doc_id, each in contents if each]
        postings = sorted((token, n) for n, _, each in contents if each for token in each.tokens)
        connection.execute("BEGIN")
        connection.executemany("INSERT INTO doc VALUES (?, ?, ?, ?)", docs)
        connection.executemany("INSERT INTO posting VALUES (?, ?)", postings)
        connection.execute("COMMIT")
        busy_s += time.thread_time() - started_s
        count += len(batch)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    return {"docs": count, "built": count / busy_s, "bytes": path.stat().st_size / count}


def peak_mb() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def cpu_ms(work: Callable[[], object]) -> float:
    """The median of some rounds after a first."""
    work()
    times = []
    for _ in range(ROUNDS):
        started_s = time.thread_time()
        work()
        times.append(1000 * (time.thread_time() - started_s))
    return statistics.median(times)


def show(found: list[dict[str, Any]], plain: dict[str, Any]) -> None:
    print(f"{'documents':>10} {'built/s':>8} {'unchanged/s':>11} {'bytes/doc':>9} {'MB at half, at end':>18}")
    for each in found:
        memory = f"{each['half_mb']}, {each['peak_mb']}"
        print(
            f"{each['docs']:>10,} {each['built']:>8,.0f} {each['unchanged']:>11,.0f} {each['bytes']:>9.0f} {memory:>18}"
        )
    print(
        f"\nA plain table of tokens: {plain['docs']:,} documents, {plain['built']:,.0f}/s, "
        f"{plain['bytes']:.0f} bytes each"
    )
    print(
        f"\n{'documents':>10}  {'search':<26} {'hits':>8} {'ids ms':>8} {'page ms':>8} {'bare ms':>8} {'page/bare':>9}"
    )
    for each in found:
        for name, times in each["searches"].items():
            ratio = times["page_ms"] / times["bare_ms"]
            print(
                f"{each['docs']:>10,}  {name:<26} {times['hits']:>8,} {times['ids_ms']:>8.2f} {times['page_ms']:>8.2f} "
                f"{times['bare_ms']:>8.2f} {ratio:>9.2f}"
            )


def judge(found: list[dict[str, Any]]) -> int:
    last = found[-1]
    large = [each for each in last["searches"].values() if each["hits"] >= 1000]
    worst = max((each["page_ms"] / each["bare_ms"] for each in large), default=0.0)
    missed = [
        text
        for text, missed in (
            (f"built at {last['built']:,.0f} documents/s, aim {BUILD_AIM:,}", last["built"] < BUILD_AIM),
            (f"{last['bytes']:.0f} bytes a document, aim {BYTES_AIM}", last["bytes"] > BYTES_AIM),
            (f"{worst:.1f} times the bare query, aim {RATIO_AIM}", worst > RATIO_AIM),
        )
        if missed
    ]
    print("\n" + ("missed: " + "; ".join(missed) if missed else "all aims met"))
    return int(bool(missed))


if __name__ == "__main__":
    sys.exit(main())
