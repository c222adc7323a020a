"""How hard a password is to guess (30 EP-USR-41, 42)."""

from __future__ import annotations

SHORTEST = 8
LEAST_SCORE = 50


def password_score(password: str) -> int:
    """Length, variety and the kinds of characters (digit, lower case, upper case, other), as one number."""
    kinds = {character_kind(character) for character in password}
    return len(password) + 2 * len(set(password)) + 15 * max(len(kinds) - 1, 0)


def character_kind(character: str) -> str:
    if character.isdigit():
        return "digit"
    if character.islower():
        return "lower"
    return "upper" if character.isupper() else "other"
