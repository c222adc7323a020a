"""Purge: revisions forgotten as if they had never been."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store import revtree, schema
from store.revtree import Node, Tree
from tests.store.store_client import Client

VIEW = {"views": {"all": {"map": "function (doc) { emit(doc.n, null); }"}}}


async def test_purged_document_leaves_nothing(store: Client, db: str) -> None:
    rev = (await store.put(f"{db}/a", {"n": 1})).body["rev"]
    await store.put(f"{db}/b", {"n": 2})

    purged = await store.post(f"{db}/_purge", {"a": [rev], "none": ["1-x"]})

    assert (purged.status, purged.body) == (201, {"purge_seq": None, "purged": {"a": [rev], "none": []}})
    assert (await store.get(f"{db}/a")).body == {"error": "not_found", "reason": "missing"}
    assert (await store.get(f"{db}/a", rev=rev)).status == 404
    assert [row["id"] for row in (await store.get(f"{db}/_changes")).body["results"]] == ["b"]
    info = (await store.get(db)).body
    assert (info["doc_count"], info["doc_del_count"], info["purge_seq"][:2]) == (1, 0, "2-")
    assert int(info["update_seq"].split("-")[0]) == 3
    assert (await store.put(f"{db}/a", {"n": 3})).body["rev"].startswith("1-")


async def test_revision_that_is_no_leaf_is_not_purged(store: Client, db: str) -> None:
    first = (await store.put(f"{db}/a", {})).body["rev"]
    await store.put(f"{db}/a", {"_rev": first, "n": 2})

    purged = await store.post(f"{db}/_purge", {"a": [first]})

    assert purged.body["purged"] == {"a": []}
    assert (await store.get(f"{db}/a")).body["n"] == 2


async def test_purge_of_the_winner_lets_the_conflict_win(store: Client, db: str) -> None:
    await store.put(
        f"{db}/a", {"_rev": "2-bbb", "n": "b", "_revisions": {"start": 2, "ids": ["bbb", "x"]}}, new_edits=False
    )
    await store.put(
        f"{db}/a", {"_rev": "2-aaa", "n": "a", "_revisions": {"start": 2, "ids": ["aaa", "x"]}}, new_edits=False
    )

    await store.post(f"{db}/_purge", {"a": ["2-bbb"]})

    doc = (await store.get(f"{db}/a", conflicts=True, revs=True)).body
    assert (doc["n"], doc["_revisions"]) == ("a", {"start": 2, "ids": ["aaa", "x"]})
    assert "_conflicts" not in doc
    assert [row["id"] for row in (await store.get(f"{db}/_changes")).body["results"]] == ["a"]


async def test_purge_of_a_tombstone_lowers_the_count_of_deleted_documents(store: Client, db: str) -> None:
    rev = (await store.put(f"{db}/a", {})).body["rev"]
    gone = (await store.delete(f"{db}/a", rev=rev)).body["rev"]

    await store.post(f"{db}/_purge", {"a": [gone]})

    info = (await store.get(db)).body
    assert (info["doc_count"], info["doc_del_count"]) == (0, 0)


async def test_view_forgets_a_purged_document(store: Client, db: str) -> None:
    await store.put(f"{db}/_design/d", VIEW)
    revs = [(await store.put(f"{db}/{name}", {"n": n})).body["rev"] for n, name in enumerate("abc")]
    path = f"{db}/_design/d/_view/all"
    assert len((await store.get(path)).body["rows"]) == 3

    await store.post(f"{db}/_purge", {"b": [revs[1]], "c": [revs[2]]})

    assert [row["id"] for row in (await store.get(path)).body["rows"]] == ["a"]
    await store.put(f"{db}/b", {"n": 9})
    assert [row["id"] for row in (await store.get(path)).body["rows"]] == ["a", "b"]


async def test_purged_design_document_validates_no_more(store: Client, db: str) -> None:
    refuse = "function () { throw({forbidden: 'no'}); }"
    rev = (await store.put(f"{db}/_design/d", {"validate_doc_update": refuse})).body["rev"]
    assert (await store.put(f"{db}/a", {})).status == 403

    await store.post(f"{db}/_purge", {"_design/d": [rev]})

    assert (await store.put(f"{db}/a", {})).status == 201


async def test_as_many_purges_are_remembered_as_the_limit_says(store: Client, db: str) -> None:
    assert (await store.get(f"{db}/_purged_infos_limit")).body == 1000
    assert (await store.put(f"{db}/_purged_infos_limit", 2)).body == {"ok": True}
    for name in "abc":
        await store.post(f"{db}/_purge", {name: ["1-x"]})

    infos = (await store.get(f"{db}/_purged_infos")).body

    assert infos == {"purged_infos": [{"id": "b", "revs": ["1-x"]}, {"id": "c", "revs": ["1-x"]}]}


@pytest.mark.parametrize("body", [[], {"a": "1-x"}, {"a": ["x"]}, {str(n): [] for n in range(101)}])
async def test_wrong_purge_is_400(store: Client, db: str, body: object) -> None:
    assert (await store.post(f"{db}/_purge", body)).status == 400


@pytest.mark.parametrize("limit", ["0", "-1", '"2"', "true", "null", "x"])
async def test_wrong_limit_is_400(store: Client, db: str, limit: str) -> None:
    answer = await store.ask("PUT", f"{db}/_purged_infos_limit", data=limit)

    assert answer.status == 400


async def test_purge_is_for_server_admins(store: Client, db: str) -> None:
    asha = await store.make_user("asha", "pass-1")

    assert (await store.post(f"{db}/_purge", {}, user=asha)).status == 401
    assert (await store.put(f"{db}/_purged_infos_limit", 5, user=asha)).status == 403


async def test_missing_revs_names_what_is_not_here(store: Client, db: str) -> None:
    rev = (await store.put(f"{db}/a", {})).body["rev"]

    answer = await store.post(f"{db}/_missing_revs", {"a": [rev, "2-x"], "b": ["1-y"]})

    assert answer.body == {"missing_revs": {"a": ["2-x"], "b": ["1-y"]}}
    assert (await store.post(f"{db}/_missing_revs", {"a": "1-x"})).status == 400
    assert (await store.post(f"{db}/_missing_revs", [])).status == 400


async def test_database_has_one_shard(store: Client, db: str) -> None:
    name = (await store.get("/_node/_local")).body["name"]

    assert (await store.get(f"{db}/_shards")).body == {"shards": {"00000000-ffffffff": [name]}}
    assert (await store.get(f"{db}/_shards/a")).body == {"range": "00000000-ffffffff", "nodes": [name]}
    assert (await store.post(f"{db}/_sync_shards")).status == 202


def test_file_of_the_first_version_is_brought_forward(tmp_path: Path) -> None:
    path = tmp_path / "old.sqlite"
    conn = sqlite3.connect(path)
    conn.executescript(schema.MIGRATIONS[0] + "PRAGMA user_version = 1;")
    conn.execute("INSERT INTO info VALUES (1, 'uuid', 0, 0, 0, 0, 1000, NULL)")
    conn.commit()
    conn.close()

    conn = schema.open_writer(path)

    assert conn.execute("SELECT purge_seq, purged_infos_limit FROM info").fetchone() == (0, 1000)
    assert conn.execute("PRAGMA user_version").fetchone() == (len(schema.MIGRATIONS),)
    conn.close()


@st.composite
def trees(draw: st.DrawFn) -> Tree:
    tree: Tree = {}
    for number in range(draw(st.integers(1, 12))):
        parent = draw(st.sampled_from([None, *tree]))
        rev = f"{revtree.generation(parent) + 1 if parent else 1}-{number}"
        tree[rev] = Node(parent, number + 1, draw(st.booleans()))
    return tree


@given(trees())
def test_removing_every_leaf_in_turn_empties_the_tree(tree: Tree) -> None:
    bodies = sorted(node.body for node in tree.values())
    removed: list[int] = []

    for leaf in revtree.leaves(tree):
        others = {each.rev for each in revtree.leaves(tree)} - {leaf.rev}
        removed += revtree.remove_leaf(tree, leaf.rev)
        assert {each.rev for each in revtree.leaves(tree)} == others

    assert not tree
    assert sorted(removed) == bodies
