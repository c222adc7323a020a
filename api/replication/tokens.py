"""Sequences as phones see them: opaque texts that any API machine can continue from (20 §9)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from api.access.feed import Place
from api.access.schema import State

NUMBER = r"\d{1,15}"
TOKEN = re.compile(rf"({NUMBER})-([0-9a-f]{{12}})(?:-({NUMBER})-({NUMBER}))?\.(.*)", re.ASCII | re.DOTALL)
LONGEST = 8192
NO_EPOCH = "0" * 12
LIST_MARK = "~"  # in the `last_seq` of a list that was kept, before the digest that names it
LIST_NAME = re.compile(rf".*{LIST_MARK}([0-9a-f]{{32}})", re.DOTALL)


@dataclass(frozen=True)
class Position:
    """Where a client's last answer ended.

    `place` counts in the index of that `epoch`; on another machine, or after a rebuild, CouchDB's own sequence at or
    before that place is what can be continued from. It names no document and grants nothing.
    """

    place: Place
    epoch: str
    couch_seq: str

    @classmethod
    def start(cls) -> Position:
        return cls(Place.at(0), NO_EPOCH, "0")

    @classmethod
    def in_storage(cls, couch_seq: str) -> Position:
        """A position that only CouchDB knows."""
        return cls(Place.at(0), NO_EPOCH, couch_seq)

    @classmethod
    def at_end(cls, state: State) -> Position:
        return cls(Place.at(state.change), state.epoch, state.couch_seq)

    def __str__(self) -> str:
        return self.text_at(self.place.change)

    def text_at(self, change: int) -> str:
        """The position of a client that has come to that change from the same place."""
        place = self.place
        partly = "" if place.whole == change else f"-{place.whole}-{place.seen}"
        return f"{change}-{self.epoch}{partly}.{self.couch_seq}"

    def local(self, state: State) -> Place | None:
        """The place to continue from in this index; None when only CouchDB can tell."""
        if self.epoch == state.epoch and self.place.change <= state.change:
            return self.place
        return Place.at(0) if self.couch_seq == "0" else None


def list_of(since: str) -> str:
    """The digest of the list that a `last_seq` belongs to; empty when it belongs to none."""
    found = LIST_NAME.fullmatch(since)
    return found[1] if found else ""


def position_of(since: str, state: State) -> Position:
    """The position a client names by `since`: one of ours, `0`, `now`, or a sequence of CouchDB's.

    What is none of these begins at 0: everything is sent again, nothing is lost.
    """
    since = since.partition(LIST_MARK)[0]
    if since == "now":
        return Position.at_end(state)
    found = TOKEN.fullmatch(since)
    if found is None:
        return Position.in_storage(since) if 0 < len(since) <= LONGEST else Position.start()
    change = int(found[1])
    whole, seen = (int(found[3]), int(found[4])) if found[3] else (change, change)
    return Position(Place(change, min(whole, change), seen), found[2], found[5] or "0")
