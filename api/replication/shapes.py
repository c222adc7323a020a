"""The bodies and answers of protocol N, as the API's description shows them (20 §10)."""

from __future__ import annotations

from typing import NotRequired, TypedDict


class IdAndRev(TypedDict):
    id: str
    rev: str


class IdsAndRevs(TypedDict):
    """Everything a phone should have; `warn_docs` counts it without tasks.

    With `since`, in place of `doc_ids_revs`, what to add to an earlier list and what to take from it; all there is in
    `added` when the answer is `full`.
    """

    last_seq: str
    warn_docs: int
    warn: bool
    limit: int
    doc_ids_revs: NotRequired[list[IdAndRev]]
    full: NotRequired[bool]
    added: NotRequired[list[IdAndRev]]
    removed: NotRequired[list[str]]


class AskedDeletes(TypedDict):
    doc_ids: list[str]
    include_revoked: NotRequired[bool]


class Deletes(TypedDict):
    """`revoked_ids` where they were asked for: documents that exist and are not the caller's any more."""

    doc_ids: list[str]
    revoked_ids: NotRequired[list[str]]


class PurgedIds(TypedDict, total=False):
    """Empty where nothing was ever purged for the caller's roles."""

    purged_ids: list[str]
    last_seq: str | int


class CheckpointStored(TypedDict):
    success: bool
