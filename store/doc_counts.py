"""How many documents there are by ranges of ids and of seqs, so that positions are not counted one by one.

Live documents are counted in blocks of neighbouring ids: a block begins at an id and ends where the next begins, the
first at "". All documents are counted in blocks of 1,024 seqs. Both are exact at every commit.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Collection
from sqlite3 import Connection

BLOCK_IDS = 1000  # of a block that is divided, which happens beyond twice as many
_BLOCK_BITS = 10


def change(
    conn: Connection,
    *,
    seqs_left: Collection[int] = (),
    seqs_taken: Collection[int] = (),
    came: Collection[str] = (),
    went: Collection[str] = (),
) -> None:
    """Count documents that moved between seqs, and the ids of those that became live or ceased to be."""
    moves = Counter(seq >> _BLOCK_BITS for seq in seqs_taken)
    moves.subtract(seq >> _BLOCK_BITS for seq in seqs_left)
    conn.executemany(
        "INSERT INTO seq_counts VALUES (?, ?) ON CONFLICT (block) DO UPDATE SET docs = docs + excluded.docs",
        [move for move in moves.items() if move[1]],
    )
    if seqs_left:
        conn.executemany(
            "DELETE FROM seq_counts WHERE block = ? AND docs = 0", [(block,) for block, n in moves.items() if n < 0]
        )
    _change_ids(conn, 1, came)
    _change_ids(conn, -1, went)
    if came:
        for (first,) in conn.execute("SELECT first FROM id_counts WHERE docs > 2000").fetchall():
            _divide(conn, first)
    if went:
        conn.execute("DELETE FROM id_counts WHERE docs = 0 AND first <> ''")


def _change_ids(conn: Connection, delta: int, changed: Collection[str]) -> None:
    ids = sorted(changed)
    counts: list[tuple[int, str]] = []
    at = 0
    while at < len(ids):  # block by block, for ids that are written together are often neighbours
        first, end = conn.execute(
            "SELECT max(first), (SELECT min(first) FROM id_counts WHERE first > ?1) FROM id_counts WHERE first <= ?1",
            (ids[at],),
        ).fetchone()
        until = len(ids) if end is None else bisect_left(ids, end, at)
        counts.append((delta * (until - at), first))
        at = until
    conn.executemany("UPDATE id_counts SET docs = docs + ? WHERE first = ?", counts)


def _divide(conn: Connection, first: str) -> None:
    [(end,)] = conn.execute("SELECT min(first) FROM id_counts WHERE first > ?", (first,)).fetchall()
    condition, bounds = ("id >= ?", (first,)) if end is None else ("id >= ? AND id < ?", (first, end))
    ids = [row[0] for row in conn.execute(f"SELECT id FROM docs WHERE deleted = 0 AND {condition} ORDER BY id", bounds)]
    blocks = [(ids[at], len(ids[at : at + BLOCK_IDS])) for at in range(0, len(ids), BLOCK_IDS)]
    conn.executemany("INSERT OR REPLACE INTO id_counts VALUES (?, ?)", [(first, blocks[0][1]), *blocks[1:]])


def live_before(conn: Connection, doc_id: str, *, inclusive: bool = False) -> int:
    """How many live documents have an id below this one, or `inclusive` this one itself."""
    sign = "<=" if inclusive else "<"
    number: int = conn.execute(
        f"""
        WITH last AS (SELECT coalesce(max(first), '') AS first FROM id_counts WHERE first {sign} ?1)
        SELECT (SELECT coalesce(sum(docs), 0) FROM id_counts WHERE first < (SELECT first FROM last))
          + (SELECT count(*) FROM docs WHERE deleted = 0 AND id >= (SELECT first FROM last) AND id {sign} ?1)
        """,
        (doc_id,),
    ).fetchone()[0]
    return number


def docs_after(conn: Connection, seq: int) -> int:
    """How many documents, deleted ones too, changed after a seq."""
    block = seq >> _BLOCK_BITS
    number: int = conn.execute(
        """
        SELECT (SELECT coalesce(sum(docs), 0) FROM seq_counts WHERE block > ?)
          + (SELECT count(*) FROM docs WHERE seq > ? AND seq < ?)
        """,
        (block, seq, (block + 1) << _BLOCK_BITS),
    ).fetchone()[0]
    return number
