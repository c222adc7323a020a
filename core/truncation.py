"""How many parts an SMS takes on the air, and how a text is cut to a number of parts (40 §6.2)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

GSM = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
GSM_DOUBLE = frozenset("\f^{}\\[~]|€")
DEFAULT_PARTS = 10
ELLIPSIS = "..."


@dataclass(frozen=True)
class Alphabet:
    """Units one part holds when it is the only one, and when it is one of several."""

    single: int
    several: int
    cost: Callable[[str], int]


GSM_ALPHABET = Alphabet(160, 153, lambda char: 2 if char in GSM_DOUBLE else 1)
UNICODE_ALPHABET = Alphabet(70, 67, lambda char: 2 if ord(char) > 0xFFFF else 1)


def alphabet_of(text: str) -> Alphabet:
    """GSM 03.38 when every character is in it, else UTF-16 (MSG-16)."""
    return GSM_ALPHABET if all(char in GSM or char in GSM_DOUBLE for char in text) else UNICODE_ALPHABET


def truncate(text: str, parts: int) -> str:
    """The text itself when it fits into that many parts, else its beginning and `...` (MSG-17)."""
    alphabet = alphabet_of(text)
    if sum(map(alphabet.cost, text)) <= alphabet.single:
        return text
    part, used = 1, 0
    for position, char in enumerate(text):
        cost = alphabet.cost(char)
        if used + cost > alphabet.several:
            part, used = part + 1, 0
            if part > parts:
                return text[: position - len(ELLIPSIS)] + ELLIPSIS
        used += cost
    return text
