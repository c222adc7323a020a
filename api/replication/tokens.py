"""Sequences as phones see them: opaque texts that any API machine can continue from (20 §9)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from api.access.schema import State

TOKEN = re.compile(r"(\d{1,15})-([0-9a-f]{12})\.(.*)", re.ASCII | re.DOTALL)
LONGEST = 8192


@dataclass(frozen=True)
class Position:
    """Where a client's last answer ended.

    `change` counts in the index of that `epoch`; on another machine, or after a rebuild, CouchDB's own sequence at or
    before that place is what can be continued from. It names no document and grants nothing.
    """

    change: int
    epoch: str
    couch_seq: str

    def __str__(self) -> str:
        return f"{self.change}-{self.epoch}.{self.couch_seq}"

    def local_change(self, state: State) -> int | None:
        """The number to continue from in this index; None when only CouchDB can tell."""
        if self.epoch == state.epoch and self.change <= state.change:
            return self.change
        return 0 if self.couch_seq == "0" else None


def position_of(since: str, state: State) -> Position:
    """The position a client names by `since`: one of ours, `0`, `now`, or a sequence of CouchDB's.

    What is none of these begins at 0: everything is sent again, nothing is lost.
    """
    if since == "now":
        return Position(state.change, state.epoch, state.couch_seq)
    found = TOKEN.fullmatch(since)
    if found:
        return Position(int(found[1]), found[2], found[3] or "0")
    return Position(0, "", since if 0 < len(since) <= LONGEST else "0")
