"""Revision trees, by example and by the laws they have to keep."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store import revtree
from store.errors import BadRequest
from store.revtree import Leaf, Tree


def tree_of(*paths: list[str], deleted: frozenset[str] = frozenset()) -> Tree:
    """A tree made of paths, newest first; every path's newest revision has a body."""
    tree: Tree = {}
    for number, path in enumerate(paths, 1):
        revtree.merge(tree, path, number, path[0] in deleted)
    return tree


def test_longer_history_wins() -> None:
    tree = tree_of(["2-a", "1-x"], ["3-a", "2-b", "1-x"])

    assert [leaf.rev for leaf in revtree.leaves(tree)] == ["3-a", "2-a"]


def test_equal_histories_are_decided_by_the_higher_id() -> None:
    tree = tree_of(["2-a", "1-x"], ["2-b", "1-x"])

    assert revtree.leaves(tree)[0].rev == "2-b"


def test_generations_are_numbers_not_text() -> None:
    tree = tree_of(["9-a"], ["10-a"])

    assert revtree.leaves(tree)[0].rev == "10-a"


def test_a_live_leaf_beats_a_longer_deleted_one() -> None:
    tree = tree_of(["5-z", "4-a"], ["2-a", "1-x"], deleted=frozenset({"5-z"}))

    assert revtree.leaves(tree)[0] == Leaf("2-a", False, 2)


def test_a_known_revision_teaches_nothing() -> None:
    tree = tree_of(["2-a", "1-x"])

    assert not revtree.merge(tree, ["2-a", "1-x"], 9, False)
    assert tree["2-a"].body == 1


def test_a_stemmed_branch_is_joined_when_its_past_arrives() -> None:
    tree = tree_of(["4-d", "3-c"], ["2-b", "1-a"])
    assert len(revtree.leaves(tree)) == 2

    assert revtree.merge(tree, ["3-c", "2-b", "1-a"], 9, False)

    assert revtree.history(tree, "4-d") == ["4-d", "3-c", "2-b", "1-a"]
    assert [leaf.rev for leaf in revtree.leaves(tree)] == ["4-d"]


def test_stemming_keeps_what_any_leaf_still_needs() -> None:
    tree = tree_of(["4-d", "3-c", "2-b", "1-a"], ["2-x", "1-a"])

    revtree.stem(tree, 2)

    assert set(tree) == {"4-d", "3-c", "2-x", "1-a"}
    assert revtree.history(tree, "4-d") == ["4-d", "3-c"]


def test_missing_names_possible_ancestors() -> None:
    tree = tree_of(["2-b", "1-a"])

    assert revtree.missing(tree, ["2-b", "3-c"]) == (["3-c"], ["2-b"])


def test_same_edit_has_the_same_id_and_another_edit_another() -> None:
    assert revtree.new_rev(None, False, b'{"a":1}') == revtree.new_rev(None, False, b'{"a":1}')
    edits = {
        revtree.new_rev(None, False, b'{"a":1}'),
        revtree.new_rev(None, True, b'{"a":1}'),
        revtree.new_rev(None, False, b'{"a":2}'),
        revtree.new_rev(None, False, b'{"a":1}', ["f:md5-x"]),
        revtree.new_rev("1-a", False, b'{"a":1}'),
    }
    assert len(edits) == 5


@pytest.mark.parametrize("wrong", ["", "1", "x-a", "0-a", "-1-a", 5, None, '1-a"b', "1-" + "a" * 300, "9" * 30 + "-a"])
def test_wrong_revision_is_refused(wrong: object) -> None:
    with pytest.raises(BadRequest, match="Invalid rev format"):
        revtree.parse_rev(wrong)


@st.composite
def edit_paths(draw: st.DrawFn) -> list[tuple[list[str], bool]]:
    """Paths out of one true history: every revision has one parent, as ids made of content guarantee."""
    parents: list[str | None] = [None]
    revs = ["1-r0"]
    for number in range(1, draw(st.integers(1, 12))):
        parent = draw(st.integers(0, len(revs) - 1))
        revs.append(f"{revtree.generation(revs[parent]) + 1}-r{number}")
        parents.append(revs[parent])
    known = dict(zip(revs, parents, strict=True))
    deleted = {rev: draw(st.booleans()) for rev in revs}
    paths = []
    for rev in draw(st.lists(st.sampled_from(revs), min_size=1, max_size=10)):
        path = [rev]
        while (parent_rev := known[path[-1]]) is not None:
            path.append(parent_rev)
        paths.append((path[: draw(st.integers(1, len(path)))], deleted[rev]))
    return paths


@given(edit_paths(), st.randoms(use_true_random=False))
def test_merging_in_any_order_gives_the_same_leaves(
    paths: list[tuple[list[str], bool]], shuffler: random.Random
) -> None:
    def merged(order: list[tuple[list[str], bool]]) -> list[tuple[str, bool]]:
        tree: Tree = {}
        for path, deleted in order:
            revtree.merge(tree, path, 1, deleted)
        return [(leaf.rev, leaf.deleted) for leaf in revtree.leaves(tree)]

    shuffled = list(paths)
    shuffler.shuffle(shuffled)

    assert merged(paths) == merged(shuffled)


@given(edit_paths())
def test_a_tree_survives_storage(paths: list[tuple[list[str], bool]]) -> None:
    tree = tree_of(*[path for path, _ in paths])

    again = revtree.decode(revtree.encode(tree))

    assert {rev: (n.parent, n.body, n.deleted) for rev, n in again.items()} == {
        rev: (n.parent, n.body, n.deleted) for rev, n in tree.items()
    }


@given(edit_paths(), st.integers(1, 5))
def test_stemming_never_changes_the_leaves(paths: list[tuple[list[str], bool]], limit: int) -> None:
    tree = tree_of(*[path for path, _ in paths])
    before = revtree.leaves(tree)

    revtree.stem(tree, limit)

    assert revtree.leaves(tree) == before
    assert all(len(revtree.history(tree, leaf.rev)) <= len(tree) for leaf in before)


def test_ids_of_32_hexadecimal_digits_are_compared_as_the_bytes_they_stand_for() -> None:
    """As CouchDB keeps them: "f..." is below "zz" as text, and above it as a byte."""
    tree = tree_of(["1-zz"], ["1-" + "f" * 32], ["1-" + "7" * 32])

    assert [leaf.rev for leaf in revtree.leaves(tree)] == ["1-" + "f" * 32, "1-zz", "1-" + "7" * 32]
