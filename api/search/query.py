"""The queries clients send to a full-text index (60 DDOC-75), as queries of SQLite's FTS5. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from api.search.tokens import CONTACT_TYPE, EXACT, LONGEST_WORD, WORD, Kind, fold
from core.errors import InvalidInput

MOST_TERMS = 1000
DEEPEST = 20  # parentheses within each other

SPECIAL = r"\s+&|!(){}\[\]^\"~*?:\\/"
PART = re.compile(
    r"\s*(?:(?P<all>\*:\*)|(?P<open>\()|(?P<close>\))|(?:(?P<field>\w+):)?"
    rf'(?:"(?P<text>(?:[^"\\]|\\.)*)"|(?P<word>(?:[^{SPECIAL}]|\\.)+)(?P<star>\*)?))',
    re.DOTALL,
)
OPERATORS = frozenset({"AND", "OR", "NOT"})
ESCAPED = re.compile(r"\\(.)", re.DOTALL)

Match = re.Match[str]


def match_of(query: str, kind: Kind) -> str | None:
    """The argument of FTS5's MATCH; None where the query is for every document. InvalidInput names what is wrong."""
    return Parser(query, kind).whole()


class Parser:
    """One query: terms joined by AND and OR, with parentheses. None stands for every document."""

    def __init__(self, query: str, kind: Kind) -> None:
        self.kind = kind
        self.parts = list(parts_of(query))
        self.at = 0

    def whole(self) -> str | None:
        found = self.either(0)
        if self.at < len(self.parts):
            raise unreadable(f"expected AND, OR or the end before {self.parts[self.at][0].strip()!r}")
        return found

    def either(self, depth: int) -> str | None:
        found = [self.both(depth)]
        while self.takes("OR"):
            found.append(self.both(depth))
        terms = [each for each in found if each is not None]
        return joined("OR", terms) if len(terms) == len(found) else None

    def both(self, depth: int) -> str | None:
        found = [self.one(depth)]
        while self.takes("AND"):
            found.append(self.one(depth))
        terms = [each for each in found if each is not None]
        return joined("AND", terms) if terms else None

    def one(self, depth: int) -> str | None:
        part = self.parts[self.at] if self.at < len(self.parts) else None
        if part is None or part["close"] or is_operator(part):
            raise unreadable(f"expected a term {'at the end' if part is None else f'before {part[0].strip()!r}'}")
        self.at += 1
        if part["all"]:
            return None
        if not part["open"]:
            return self.term(part)
        if depth >= DEEPEST:
            raise unreadable(f"expected at most {DEEPEST} parentheses within each other")
        found = self.either(depth + 1)
        if self.at == len(self.parts) or not self.parts[self.at]["close"]:
            raise unreadable("expected a closing parenthesis")
        self.at += 1
        return found

    def term(self, part: Match) -> str:
        text = ESCAPED.sub(r"\1", part["word"] if part["text"] is None else part["text"])
        match part["field"]:
            case None | "default":
                if part["text"] is not None and len(text.split()) != 1:
                    raise unreadable(f"expected one word instead of {part[0].strip()!r}")
                return word(self.kind, text.strip(), prefix=bool(part["star"]))
            case "exact_match":
                return token(EXACT[self.kind] + fold(text), prefix=bool(part["star"]))
            case "contact_type":
                return contact_type(text)
        raise unreadable(f"the field {part['field']!r} is not one of exact_match, contact_type and default")

    def takes(self, operator: str) -> bool:
        if self.at < len(self.parts) and is_operator(self.parts[self.at], operator):
            self.at += 1
            return True
        return False


def parts_of(query: str) -> Iterator[Match]:
    at, count, text = 0, 0, query.rstrip()
    while at < len(text):
        part = PART.match(text, at)
        if part is None:
            raise unreadable(f"cannot read it from {text[at : at + 20].strip()!r} on")
        count += 1
        if count > 2 * MOST_TERMS:
            raise unreadable(f"expected at most {MOST_TERMS} terms")
        yield part
        at = part.end()


def is_operator(part: Match, name: str | None = None) -> bool:
    found = part["word"] in OPERATORS and not part["field"] and not part["star"]
    return found and (name is None or part["word"] == name)


def word(kind: Kind, text: str, *, prefix: bool) -> str:
    """Documents with the word; with `prefix`, also with words that begin so."""
    return token(WORD[kind] + fold(text)[:LONGEST_WORD], prefix=prefix)


def exact(kind: Kind, text: str) -> str:
    """Documents with the `key:value`."""
    return token(EXACT[kind] + fold(text), prefix=False)


def contact_type(type_id: str) -> str:
    return token(CONTACT_TYPE + fold(type_id), prefix=False)


def token(text: str, *, prefix: bool) -> str:
    quoted = '"' + text.replace('"', '""') + '"'
    return f"{quoted} *" if prefix else quoted


def joined(operator: str, terms: Sequence[str]) -> str:
    """The terms, at least one, under one operator."""
    return terms[0] if len(terms) == 1 else "(" + f" {operator} ".join(terms) + ")"


def unreadable(reason: str) -> InvalidInput:
    return InvalidInput(f'Query parameter `q` must be a query like word* or exact_match:"key:value": {reason}')
