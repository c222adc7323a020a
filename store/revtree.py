"""Revision trees: how edits of one document merge, which leaf wins, what is forgotten; pure data, no storage."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

import orjson

from store.errors import BadRequest

_REV = re.compile(r"([1-9][0-9]{0,14})-([^\s\"/\\\x00-\x1f]{0,256})\Z")
_HEX_DIGEST = re.compile(r"[0-9A-Fa-f]{32}\Z")


class Node:
    """One revision: its parent (None: forgotten or first), the number of its body (0: none), whether it deletes."""

    __slots__ = ("body", "deleted", "parent")

    def __init__(self, parent: str | None, body: int, deleted: bool) -> None:
        self.parent = parent
        self.body = body
        self.deleted = deleted


Tree = dict[str, Node]


class Leaf(NamedTuple):
    """A revision nothing was built on; the live ones are the document's current versions."""

    rev: str
    deleted: bool
    body: int


def parse_rev(rev: object) -> str:
    """The revision in its canonical spelling (32 hexadecimal digits in lower case).

    Raises BadRequest "Invalid rev format" when it is not `<generation>-<id>`.
    """
    if not isinstance(rev, str) or not (match := _REV.match(rev)):
        raise BadRequest("Invalid rev format")
    if _HEX_DIGEST.match(match[2]):
        return rev.lower()
    return rev


def generation(rev: str) -> int:
    """The number before the dash: how many edits led to this revision."""
    return int(rev[: rev.index("-")])


def new_rev(parent: str | None, deleted: bool, body: bytes, attachment_digests: Sequence[str] = ()) -> str:
    """The id of an edit, made of what it says, so that the same edit has the same id on every replica."""
    digest = hashlib.md5(usedforsecurity=False)
    digest.update(b"%d %s " % (deleted, (parent or "").encode()))
    for name_and_digest in attachment_digests:
        digest.update(name_and_digest.encode() + b"\0")
    digest.update(body)
    return f"{generation(parent) + 1 if parent else 1}-{digest.hexdigest()}"


def decode(stored: bytes) -> Tree:
    """The tree that `encode` wrote."""
    tree: Tree = {}
    revs: list[str] = []
    for rev, parent, body, deleted in orjson.loads(stored):
        tree[rev] = Node(revs[parent] if parent >= 0 else None, body, deleted == 1)
        revs.append(rev)
    return tree


def encode(tree: Tree) -> bytes:
    """JSON `[[rev, index of parent or -1, body, deleted 0/1], ...]`, parents before children."""
    position: dict[str, int] = {}
    rows: list[tuple[str, int, int, int]] = []
    for rev in sorted(tree, key=generation) if len(tree) > 1 else tree:
        node = tree[rev]
        position[rev] = len(rows)
        rows.append((rev, -1 if node.parent is None else position[node.parent], node.body, 1 if node.deleted else 0))
    return orjson.dumps(rows)


def revisions_of_lone_leaf(stored: bytes) -> bytes:
    """`_revisions` of the leaf of a stored tree that has no other: all the tree is its history."""
    revs = [row[0] for row in reversed(orjson.loads(stored))]
    start, _, _ = revs[0].partition("-")
    return b'{"start":%b,"ids":%b}' % (start.encode(), orjson.dumps([rev[rev.index("-") + 1 :] for rev in revs]))


def sort_key(leaf: Leaf) -> tuple[bool, int, bytes]:
    """Order in which leaves win: live beats deleted, then the longer history, then the higher id.

    CouchDB keeps an id of 32 hexadecimal digits as the 16 bytes they stand for, any other one as its text.
    """
    gen, _, digest = leaf.rev.partition("-")
    return (not leaf.deleted, int(gen), bytes.fromhex(digest) if _HEX_DIGEST.match(digest) else digest.encode())


def leaves(tree: Tree) -> list[Leaf]:
    """All leaves, the winner first: the order every replica agrees on."""
    parents = {node.parent for node in tree.values()}
    found = [Leaf(rev, node.deleted, node.body) for rev, node in tree.items() if rev not in parents]
    if len(found) > 1:
        found.sort(key=sort_key, reverse=True)
    return found


def merge(tree: Tree, path: Sequence[str], body: int, deleted: bool) -> bool:
    """Graft a revision that was made elsewhere, with its known history; True when that taught us anything.

    `path` is newest first and its first member has the body. A revision already here keeps its body and mark.
    """
    changed = False
    newest = tree.get(path[0])
    if newest is None:
        tree[path[0]] = Node(None, body, deleted)
        changed = True
    elif not newest.body and body:
        newest.body, newest.deleted = body, deleted
        changed = True
    for child, parent in pairwise(path):
        known = tree.get(parent)
        if known is None:
            tree[parent] = Node(None, 0, False)
        node = tree[child]
        if node.parent is None:
            node.parent = parent
            changed = True
        elif node.parent != parent:  # two stories of one revision: ours stands, the rest of theirs is not needed
            if known is None:
                del tree[parent]
            break
    return changed


def history(tree: Tree, rev: str) -> list[str]:
    """The revision and its known ancestors, newest first."""
    found = []
    at: str | None = rev
    while at is not None:
        found.append(at)
        at = tree[at].parent
    return found


def stem(tree: Tree, limit: int) -> list[int]:
    """Forget ancestors further than `limit` revisions from every leaf; returns the numbers of the bodies forgotten."""
    if len(tree) <= limit:
        return []
    kept: set[str] = set()
    for leaf in leaves(tree):
        kept.update(history(tree, leaf.rev)[:limit])
    dropped = [node.body for rev, node in tree.items() if rev not in kept and node.body]
    for rev in [rev for rev in tree if rev not in kept]:
        del tree[rev]
    for node in tree.values():
        if node.parent is not None and node.parent not in kept:
            node.parent = None
    return dropped


def remove_leaf(tree: Tree, rev: str) -> list[int]:
    """Take out a leaf and the ancestors that no other leaf has; returns the numbers of the bodies forgotten."""
    shared = {known for leaf in leaves(tree) if leaf.rev != rev for known in history(tree, leaf.rev)}
    removed = [tree.pop(known) for known in history(tree, rev) if known not in shared]
    return [node.body for node in removed if node.body]


def latest_leaves(tree: Tree, rev: str) -> list[Leaf]:
    """The leaves that grew from a revision (itself when it is one), best first."""
    return [leaf for leaf in leaves(tree) if rev in history(tree, leaf.rev)]


def missing(tree: Tree, revs: Iterable[str]) -> tuple[list[str], list[str]]:
    """Which of `revs` are not in the tree, and the leaves here that those may have grown from (`_revs_diff`)."""
    absent = [rev for rev in revs if rev not in tree]
    if not absent:
        return [], []
    highest = max(generation(rev) for rev in absent)
    return absent, [leaf.rev for leaf in leaves(tree) if generation(leaf.rev) < highest]
