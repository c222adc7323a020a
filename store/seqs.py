"""Update sequences as clients see them: opaque, `<number>-<mark of the database>`."""

from __future__ import annotations

from store.errors import BadRequest


def seq_mark(database_uuid: str) -> str:
    """The part that tells one database from a later one of the same name."""
    return database_uuid[:12]


def parse_seq(since: object, mark: str, newest: int) -> int:
    """The number in a `since` a client sent back; `now` is the newest.

    A seq of another database means nothing here, so it counts as 0: everything is told again rather than lost.
    Raises BadRequest when it is no seq at all.
    """
    if isinstance(since, int) and not isinstance(since, bool):
        return max(0, min(since, newest))
    if isinstance(since, str):
        text = since.strip('"')
        if text == "now":
            return newest
        number, dash, given_mark = text.partition("-")
        if number.isascii() and number.isdigit() and len(number) < 16:
            if dash and given_mark != mark:
                return 0
            return min(int(number), newest)
    raise BadRequest("Malformed sequence supplied in 'since' parameter.")
