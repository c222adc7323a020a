"""Short codes and their reservation (35 §9, 40 V-1, V-2)."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from typing import Any

import pytest

from core.couch.client import Database
from core.errors import DomainError
from core.shortcodes import ShortcodeSource, candidates, check_digit, reserve_shortcodes


class Dice(random.Random):
    """Chance that always falls the same way."""

    def __init__(self, *numbers: int) -> None:
        super().__init__(0)
        self.numbers = list(numbers)

    def sample(self, population: Sequence[Any], k: int, **options: Any) -> list[Any]:
        return self.numbers[:k]


def owners(count: int) -> list[str]:
    return [f"doc-{number}" for number in range(count)]


@pytest.mark.parametrize(
    ("digits", "code"), [("1234", "12348"), ("1324", "13249"), ("9876", "98760"), ("00123", "001235")]
)
def test_check_digits(digits: str, code: str) -> None:
    assert digits + check_digit(digits) == code  # V-1, MOD-52


def test_candidates_are_different_codes_of_the_length() -> None:
    codes = candidates(5, 200, random.Random(1))

    assert len(set(codes)) == 200  # V-2, MOD-53
    assert all(len(code) == 5 and code[4] == check_digit(code[:4]) for code in codes)


async def test_codes_in_use_are_left_out(db: Database) -> None:
    await db.bulk_docs(
        [
            {"_id": "p", "type": "person", "patient_id": "12348"},
            {"_id": "c", "type": "clinic", "place_id": "13249"},
            {"_id": "r", "type": "data_record", "case_id": "98760"},
        ]
    )

    codes = await reserve_shortcodes(db, ["x"], chance=Dice(1234, 1324, 9876, 5))

    assert codes == {"x": "0005" + check_digit("0005")}  # MOD-50, TRN-18


async def test_a_code_is_given_once(db: Database) -> None:
    both = await asyncio.gather(*(reserve_shortcodes(db, owners(150), chance=random.Random(7)) for _ in range(2)))

    assert len({*both[0].values(), *both[1].values()}) == 300  # MOD-53, ours: equal chance, and still no code twice


async def test_codes_grow_when_a_length_is_full(db: Database) -> None:
    await db.put({"_id": "p", "type": "person", "patient_id": "12348"})

    codes = await reserve_shortcodes(db, ["x"], chance=Dice(1234))

    assert codes == {"x": "01234" + check_digit("01234")}  # MOD-53
    assert (await db.get("shortcode-id-length"))["current_length"] == 6  # MOD-51, TRN-18


async def test_the_stored_length_is_used(db: Database) -> None:
    await db.put({"_id": "shortcode-id-length", "current_length": 9})

    assert {len(code) for code in (await reserve_shortcodes(db, owners(3))).values()} == {9}  # MOD-51


async def test_a_full_deployment_says_so(db: Database) -> None:
    await db.put({"_id": "shortcode-id-length", "current_length": 13})

    with pytest.raises(DomainError, match="13 digits"):
        await reserve_shortcodes(db, ["x"], chance=Dice())


async def test_codes_looked_up_ahead_are_given_once(db: Database) -> None:
    source, other = ShortcodeSource(), ShortcodeSource()
    given = [await each.reserve(db, owners(60)) for _ in range(3) for each in (source, other)]
    await source.close()
    await other.close()

    assert len({code for codes in given for code in codes.values()}) == 360  # MOD-53


async def test_no_codes_for_nobody(db: Database) -> None:
    assert await reserve_shortcodes(db, []) == {}
