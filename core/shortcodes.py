"""Short codes that people can write into an SMS: digits with a check digit, unique in a deployment (35 §9)."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

from core.couch.client import Database, Doc
from core.errors import Conflict, DomainError

LENGTH_ID = "shortcode-id-length"
SHORTEST = 5
LONGEST = 13
CANDIDATES = 200
TRIES_AT_A_LENGTH = 3

MANY = 50
FRESH_S = 10.0

CHANCE = random.SystemRandom()

# For each of those documents of a main database, by id, a code that nobody else has or will be given.
Reserve = Callable[[Database, Sequence[str]], Awaitable[dict[str, str]]]


def check_digit(digits: str) -> str:
    """Weigh the digits n+1, n ... 2, sum modulo 11, with 10 written as 0 (V-1)."""
    total = sum(int(digit) * weight for digit, weight in zip(digits, range(len(digits) + 1, 1, -1), strict=True))
    return str(total % 11 % 10)


def candidates(length: int, number: int, chance: random.Random = CHANCE) -> list[str]:
    """So many different codes of a length, or all there are: random digits and their check digit (V-2)."""
    space = 10 ** (length - 1)
    chosen = chance.sample(range(space), min(number, space))
    return [digits + check_digit(digits) for digits in (f"{each:0{length - 1}d}" for each in chosen)]


class ShortcodeSource:
    """Reserves codes for one who needs many, again and again: while a batch is processed, candidates for the next one
    are looked up, since that look-up waits for CouchDB to index all that was written last.
    """

    def __init__(self) -> None:
        self._ahead: asyncio.Task[list[str]] | None = None
        self._asked_s = 0.0

    async def reserve(self, db: Database, owners: Sequence[str]) -> dict[str, str]:
        """As `reserve_shortcodes`."""
        codes = await reserve_shortcodes(db, owners, free=await self._looked_up())
        if len(owners) >= MANY:
            self._asked_s = time.monotonic()
            # As many again to spare: what we claimed just now is not indexed when the look-up begins.
            self._ahead = asyncio.create_task(look_up(db, len(codes[owners[-1]]), 2 * len(owners)))
        return codes

    async def _looked_up(self) -> list[str]:
        """What was found for this time, unless so long ago that others may have been given the codes meanwhile."""
        ahead, self._ahead = self._ahead, None
        if ahead is None:
            return []
        codes = await ahead
        return codes if time.monotonic() - self._asked_s < FRESH_S else []

    async def close(self) -> None:
        if self._ahead is not None:
            self._ahead.cancel()
            await asyncio.gather(self._ahead, return_exceptions=True)


async def look_up(db: Database, length: int, number: int) -> list[str]:
    with suppress(DomainError):  # who needs the codes looks again, and is told
        return await unused(db, length, number)
    return []


async def reserve_shortcodes(
    db: Database, owners: Sequence[str], *, chance: random.Random = CHANCE, free: Sequence[str] = ()
) -> dict[str, str]:
    """For each of these documents a code that no document has and nobody else will be given (MOD-50..53, TRN-18).

    `db` is the main database. Each code is claimed by a document `shortcode:<code>` of the `-sentinel` database, which
    only one writer can create; its `doc_id` is the owner. `free` are codes that no document had a moment ago.
    DomainError when every length up to 13 is full.
    """
    codes: dict[str, str] = {}
    length, tries = 0, 0
    while waiting := [owner for owner in owners if owner not in codes]:
        if not free:
            if tries == TRIES_AT_A_LENGTH:
                length, tries = await grow(db, length), 0
            length = length or await current_length(db)
            free = await unused(db, length, len(waiting), chance)
            tries = tries + 1 if free else TRIES_AT_A_LENGTH
        codes |= await claim(db, free, waiting)
        free = free[len(waiting) :]
    return codes


async def claim(db: Database, codes: Sequence[str], owners: Sequence[str]) -> dict[str, str]:
    """One code for each owner, in order, but for codes that were claimed before."""
    pairs = list(zip(owners, codes, strict=False))
    claims: list[Doc] = [
        {"_id": f"shortcode:{code}", "type": "shortcode", "shortcode": code, "doc_id": owner} for owner, code in pairs
    ]
    rows = await db.couch.db(f"{db.name}-sentinel").bulk_docs(claims)
    return {owner: code for (owner, code), row in zip(pairs, rows, strict=True) if "error" not in row}


async def unused(db: Database, length: int, number: int, chance: random.Random = CHANCE) -> list[str]:
    """At most so many codes of a length that no document has."""
    tried = candidates(length, max(CANDIDATES, 2 * number), chance)
    used = {str(row["key"]) for row in await db.view("medic", "docs_by_shortcode", keys=tried)}
    return [code for code in tried if code not in used][:number]


async def current_length(db: Database) -> int:
    doc = await db.find(LENGTH_ID)
    length = (doc or {}).get("current_length")
    return min(max(length, SHORTEST), LONGEST) if isinstance(length, int) else SHORTEST


async def grow(db: Database, length: int) -> int:
    """Make codes one digit longer from now on and return the new length; another's growth at the same time is ours."""
    if length >= LONGEST:
        raise DomainError("Every short code of up to 13 digits is in use")
    doc = await db.find(LENGTH_ID) or {"_id": LENGTH_ID}
    try:
        await db.put({**doc, "current_length": length + 1})
    except Conflict:
        pass
    return length + 1
