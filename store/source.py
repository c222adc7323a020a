"""What a view index needs to know of its database, so that neither imports the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol


class Winner(NamedTuple):
    """The winning revision of one document, at the document's latest change."""

    seq: int
    id: str
    deleted: bool
    body: bytes  # the whole document as JSON with `_id` and `_rev`; b"" when deleted
    conflicts: tuple[str, ...] = ()  # the other live leaf revisions, best first


class DocSource(Protocol):
    """The documents of one database, read from worker threads."""

    def winners_since(self, seq: int, limit: int) -> list[Winner]:
        """At most `limit` winners changed after `seq`, in seq order; empty when there is nothing newer."""
        ...

    def update_seq(self) -> int:
        """The newest committed seq."""
        ...

    def docs_by_id(self, ids: Sequence[str]) -> dict[str, bytes | None]:
        """Winning bodies with `_id` and `_rev` by id; None for a deleted document, no member for an unknown one."""
        ...
