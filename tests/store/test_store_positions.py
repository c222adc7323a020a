"""`offset` of `_all_docs` and `pending` of `_changes`: kept by blocks, and exact whatever was written."""

from __future__ import annotations

import random
import sqlite3
from bisect import bisect_left, bisect_right
from pathlib import Path
from typing import Any

from store import doc_counts, schema
from tests.store.store_client import Client


async def write(store: Client, db: str, docs: list[dict[str, Any]]) -> dict[str, str]:
    answer = await store.post(f"{db}/_bulk_docs", {"docs": docs})
    return {row["id"]: row["rev"] for row in answer.body}


async def assert_positions(store: Client, db: str, dice: random.Random) -> None:
    """Every position that the server tells is the one counted here."""
    live = [row["id"] for row in (await store.get(f"{db}/_all_docs")).body["rows"]]
    seqs = [int(row["seq"].partition("-")[0]) for row in (await store.get(f"{db}/_changes")).body["results"]]
    for key in ["", "zz", live[0], live[-1], *dice.sample(live, 5), f"{dice.random():.9f}"]:
        up = (await store.get(f"{db}/_all_docs", startkey=f'"{key}"', limit=0)).body
        down = (await store.get(f"{db}/_all_docs", startkey=f'"{key}"', descending=True, limit=0)).body
        assert up["offset"] == bisect_left(live, key)
        assert down["offset"] == len(live) - bisect_right(live, key)
    for seq in [0, 1023, 1024, seqs[-1] - 1, seqs[-1], *dice.sample(seqs, 5)]:
        page = (await store.get(f"{db}/_changes", since=seq, limit=0)).body
        assert page["pending"] == sum(each > seq for each in seqs)


async def test_positions_are_exact_after_writes_deletions_and_purges(store: Client, db: str) -> None:
    dice = random.Random(7)
    revs = await write(store, db, [{"_id": f"{dice.random():.9f}"} for _ in range(2500)])
    await assert_positions(store, db, dice)

    gone = sorted(revs)[200:2200]
    deleted = await write(store, db, [{"_id": each, "_rev": revs[each], "_deleted": True} for each in gone])
    await assert_positions(store, db, dice)

    await write(store, db, [{"_id": each} for each in dice.sample(gone, 300)])
    await store.post(f"{db}/_purge", {each: [deleted[each]] for each in dice.sample(gone, 50)})
    await store.post(f"{db}/_purge", {each: [revs[each]] for each in dice.sample(sorted(revs)[:200], 50)})
    await assert_positions(store, db, dice)


def test_a_file_without_counts_is_counted_when_it_is_opened(tmp_path: Path) -> None:
    conn = sqlite3.connect(tmp_path / "old.sqlite")
    conn.executescript("".join(schema.MIGRATIONS[:2]) + "PRAGMA user_version = 2;")
    conn.execute("INSERT INTO info VALUES (1, 'uuid', 0, 3000, 2250, 750, 1000, NULL, 0, 1000)")
    rows = [(seq, f"{seq * 7919 % 3001:05d}", int(seq % 4 == 0)) for seq in range(1, 3001)]
    conn.executemany("INSERT INTO docs VALUES (?, ?, '1-a', ?, 1, 0, '[]')", rows)
    conn.commit()
    conn.close()

    conn = schema.open_writer(tmp_path / "old.sqlite")

    live = sorted(doc_id for _, doc_id, deleted in rows if not deleted)
    assert [doc_counts.live_before(conn, each) for each in live] == list(range(len(live)))
    assert [doc_counts.docs_after(conn, seq) for seq in range(0, 3001, 100)] == list(range(3000, -1, -100))
    conn.close()
