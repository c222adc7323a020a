"""How far indexes are, what they need on the disk, what changes: from what CouchDB tells (UPG-17, UPG-38, DDOC-93)."""

from __future__ import annotations

from typing import Any

import pytest

from core.couch.client import Couch
from core.errors import DiskFull
from core.upgrades.compare import check_space, difference, free_bytes, needed_bytes
from core.upgrades.indexing import indexers_of, merged

DDOC = "_design/:staged:medic-client"


def task(shard: str, done: int, **members: Any) -> dict[str, Any]:
    return {
        "type": "indexer",
        "node": "nonode@nohost",
        "pid": f"<0.{shard}.0>",
        "database": f"shards/{shard}0000000-{shard}fffffff/medic.1700000000",
        "design_document": DDOC,
        "changes_done": done,
        "total_changes": 1000,
        "progress": done // 10,
        "started_on": 100,
        **members,
    }


def test_the_shards_of_a_database_are_one_indexer() -> None:
    (found,) = indexers_of([task("0", 250), task("8", 760)], {"medic"}, now_s=110)

    assert found == {
        "database": "medic",
        "ddoc": DDOC,
        "type": "indexer",
        "progress": 50,  # the rounded mean of both
        "tasks": {"nonode@nohost-<0.0.0>": 25, "nonode@nohost-<0.8.0>": 76},
        "remaining_s": 30,  # of the slower one: 250 in ten seconds
    }


def test_builds_of_others_are_not_ours() -> None:
    others = [
        task("0", 1, design_document="_design/medic-client"),
        task("0", 1, database="shards/00000000-7fffffff/other.1700000000"),
        task("0", 1, type="replication"),
    ]

    assert indexers_of(others, {"medic"}, now_s=110) == []


def test_nothing_is_estimated_before_anything_is_done() -> None:
    (found,) = indexers_of([task("0", 0)], {"medic"}, now_s=110)

    assert (found["progress"], found["remaining_s"]) == (0, None)


def test_what_is_not_listed_any_more_is_complete() -> None:
    first, second = (
        {"database": "medic", "ddoc": DDOC + name, "type": "indexer", "progress": 30, "tasks": {}, "remaining_s": 9}
        for name in ("1", "2")
    )

    found = merged([first], [second])

    assert [(each["ddoc"], each["progress"]) for each in found] == [(DDOC + "1", 100), (DDOC + "2", 30)]
    assert [each["progress"] for each in merged([first], [{**first, "progress": 60}])] == [60]


RUNNING = {"_id": "_design/a", "language": "javascript", "views": {"v": {"map": "m", "reduce": "_sum"}}}


@pytest.mark.parametrize(
    ("change", "kinds"),
    [
        ({"version": "2", "digest": "x", "validate_doc_update": "y"}, None),
        ({"views": {"v": {"map": "other", "reduce": "_sum"}}}, ["views"]),
        ({"views": {"v": {"map": "m", "reduce": "_count"}}}, ["views"]),
        ({"views": {}}, ["views"]),
        ({"nouveau": {"i": {"index": "f"}}}, ["indexes"]),
        ({"nouveau": {"i": {"index": "f"}}, "options": {"local_seq": True}}, ["views", "indexes"]),
    ],
)
def test_what_differs_is_named(change: dict[str, Any], kinds: list[str] | None) -> None:
    found = difference(RUNNING, {**RUNNING, **change}, "medic")

    assert (found and found["type"]) == kinds


def test_what_is_new_is_added() -> None:
    assert difference(None, RUNNING, "medic") == {
        "type": ["added"],
        "ddoc": "_design/a",
        "db": "medic",
        "indexing": True,
    }


def test_a_disk_without_room_is_told_with_both_numbers() -> None:  # DDOC-93
    needed = needed_bytes([{"size": 50 * 2**20}, {"size": 50 * 2**20}, {}])

    with pytest.raises(DiskFull, match=r"need 120\.0 MiB .* and 119\.0 MiB are free") as refusal:
        check_space(needed, 119 * 2**20)

    assert refusal.value.details == {"needed_bytes": 120 * 2**20, "free_bytes": 119 * 2**20}
    check_space(needed, 120 * 2**20)
    check_space(needed, None)  # of a CouchDB elsewhere nobody knows


async def test_the_room_of_a_store_on_this_machine_is_known(couch: Couch) -> None:
    free = await free_bytes(couch)

    assert free is None or free > 0
