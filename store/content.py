"""Answers made of pieces: bytes at hand, and spans of stored attachments that are read as they are sent."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from sqlite3 import Connection
from typing import NamedTuple

from store.database import Database
from store.errors import NotFound
from store.spool import PIECE_BYTES


class Stored(NamedTuple):
    """A span of stored content."""

    digest: str
    first: int
    length: int


Piece = bytes | Stored


def size_bytes(pieces: Iterable[Piece]) -> int:
    """How long an answer of these pieces is."""
    return sum(piece.length if isinstance(piece, Stored) else len(piece) for piece in pieces)


def at_hand(conn: Connection, pieces: Sequence[Piece]) -> Sequence[Piece]:
    """Short answers read whole, so that they need no second visit to the file; longer ones as they are."""
    if size_bytes(pieces) > PIECE_BYTES:
        return pieces
    return [b"".join(read_span(conn, piece) if isinstance(piece, Stored) else piece for piece in pieces)]


def read_span(conn: Connection, span: Stored) -> bytes:
    """Its bytes; raises NotFound when the content is gone."""
    if not span.length:
        return b""
    conn.execute("BEGIN")  # the number stays this content's until it is read
    try:
        row = conn.execute("SELECT num FROM blobs WHERE digest = ?", (span.digest,)).fetchone()
        if row is None:
            raise NotFound("missing")
        with conn.blobopen("blobs", "data", row[0], readonly=True) as blob:
            blob.seek(span.first)
            return blob.read(span.length)
    finally:
        conn.execute("COMMIT")


async def chunks(database: Database, pieces: Iterable[Piece]) -> AsyncIterator[bytes]:
    """The bytes, a part of a long span at a time. No snapshot is held meanwhile, however slowly they are taken."""
    between = bytearray()
    for piece in pieces:
        if not isinstance(piece, Stored):
            between += piece
            continue
        if between:
            yield bytes(between)
            between.clear()
        for first in range(piece.first, piece.first + piece.length, PIECE_BYTES):
            part = Stored(piece.digest, first, min(PIECE_BYTES, piece.first + piece.length - first))
            yield await database.read(lambda conn, part=part: read_span(conn, part))  # type: ignore[misc]
    if between:
        yield bytes(between)
