"""Read the rules of the validation language into trees (40 VAL-3, VAL-4, VAL-6, VAL-7)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

Argument = str | int | float

NUMBER = re.compile(r"[+-]?(\d{1,30}(\.\d{0,30})?|\.\d{1,30})")


class RuleError(ValueError):
    """The rule is not in the language; `pos` is the offset where that shows."""

    def __init__(self, message: str, pos: int) -> None:
        super().__init__(message)
        self.message = message
        self.pos = pos


@dataclass(frozen=True)
class Call:
    """A function applied to the property's value. The name is lower-cased (VAL-5)."""

    name: str
    arguments: tuple[Argument, ...] = ()


@dataclass(frozen=True)
class Not:
    node: Node


@dataclass(frozen=True)
class And:
    left: Node
    right: Node


@dataclass(frozen=True)
class Or:
    left: Node
    right: Node


@dataclass(frozen=True)
class Choice:
    condition: Node
    yes: Node
    no: Node


Node = Call | Not | And | Or | Choice


@dataclass(frozen=True)
class Token:
    kind: str  # "word", "text", "end", or the sign itself
    text: str
    pos: int


def parse_rule(rule: str) -> Node:
    """The tree of one rule. Operators have no precedence: they apply from left to right (VAL-4). Raises RuleError."""
    reader = Reader(list(tokens(rule)))
    try:
        node = reader.block()
    except RecursionError as error:
        raise RuleError("the rule is nested too deeply", reader.next.pos) from error
    reader.expect("end")
    return node


def calls(node: Node) -> Iterator[Call]:
    """Every function call in a tree."""
    match node:
        case Call():
            yield node
        case Not(inner):
            yield from calls(inner)
        case And(left, right) | Or(left, right):
            yield from calls(left)
            yield from calls(right)
        case Choice(condition, yes, no):
            yield from calls(condition)
            yield from calls(yes)
            yield from calls(no)


def tokens(rule: str) -> Iterator[Token]:
    """Words, quoted texts and signs. Blanks outside quotes vanish and so join words; a backslash takes the next
    character as it is (VAL-3)."""
    word, word_pos, at = "", 0, 0
    while at < len(rule):
        char = rule[at]
        if char.isspace():
            at += 1
            continue
        if char == "\\" and at + 1 < len(rule):
            word_pos = word_pos if word else at
            word += rule[at + 1]
            at += 2
            continue
        sign = rule[at : at + 2] if rule[at : at + 2] in ("&&", "||") else char if char in "()!?:,'\"" else ""
        if not sign:
            word_pos = word_pos if word else at
            word += char
            at += 1
            continue
        if word:
            yield Token("word", word, word_pos)
            word = ""
        if sign in "'\"":
            end = rule.find(sign, at + 1)
            if end < 0:
                raise RuleError("a quoted text is not closed", at)
            yield Token("text", rule[at + 1 : end], at)
            at = end + 1
        else:
            yield Token(sign, sign, at)
            at += len(sign)
    if word:
        yield Token("word", word, word_pos)
    yield Token("end", "", len(rule))


class Reader:
    """Walks the tokens of one rule, once, from left to right."""

    def __init__(self, rule: list[Token]) -> None:
        self.rule = rule
        self.at = 0

    @property
    def next(self) -> Token:
        return self.rule[self.at]

    def take(self, kind: str) -> Token | None:
        if self.next.kind != kind:
            return None
        self.at += 1
        return self.rule[self.at - 1]

    def expect(self, kind: str) -> Token:
        found = self.take(kind)
        if found is None:
            wanted = "the end of the rule" if kind == "end" else repr(kind)
            got = "the end of the rule" if self.next.kind == "end" else repr(self.next.text)
            raise RuleError(f"expected {wanted}, found {got}", self.next.pos)
        return found

    def block(self) -> Node:
        """Terms up to a closing sign; a `?` takes all to its left in this block as its condition."""
        node = self.term()
        while True:
            if self.take("&&"):
                node = And(node, self.term())
            elif self.take("||"):
                node = Or(node, self.term())
            elif self.take("?"):
                yes = self.block()
                self.expect(":")
                node = Choice(node, yes, self.block())
            else:
                return node

    def term(self) -> Node:
        if self.take("!"):
            return Not(self.term())
        if self.take("("):
            node = self.block()
            self.expect(")")
            return node
        name = self.take("word")
        if name is None:
            got = "the end of the rule" if self.next.kind == "end" else repr(self.next.text)
            raise RuleError(f"expected the name of a function, found {got}", self.next.pos)
        return Call(name.text.lower(), tuple(self.arguments()) if self.take("(") else ())

    def arguments(self) -> Iterator[Argument]:
        """Up to the closing parenthesis. Empty texts are lost (VAL-7)."""
        if self.take(")"):
            return
        while True:
            if text := self.take("text"):
                if text.text:
                    yield text.text
            elif word := self.take("word"):
                yield number(word)
            elif self.next.kind != ",":
                raise RuleError(
                    f"expected an argument, found {self.next.text or 'the end of the rule'!r}", self.next.pos
                )
            if not self.take(","):
                break
        self.expect(")")


def number(word: Token) -> int | float:
    """A bare argument must be a number (VAL-6)."""
    if not NUMBER.fullmatch(word.text):
        raise RuleError(f"an argument without quotes must be a number, not {word.text!r}", word.pos)
    value = float(word.text)
    return int(value) if value.is_integer() else value
