"""The grammar of queries that clients send (60 DDOC-75)."""

from __future__ import annotations

import pytest

from api.search.query import DEEPEST, match_of
from api.search.tokens import Kind
from core.errors import InvalidInput


@pytest.mark.parametrize(
    ("query", "match"),
    [
        ("*:*", None),
        ('exact_match:"name:Neema W."', '"1name:neema w."'),
        ('exact_match:"a:b" OR exact_match:"c:d"', '("1a:b" OR "1c:d")'),
        (r'exact_match:"quote:\"x\""', '"1quote:""x"""'),
        ("Nee*", '"cnee" *'),
        (r"\+254\-711\*x*", '"c+254-711*x" *'),
        ("neema", '"cneema"'),
        ("default:neema", '"cneema"'),
        ('contact_type:"clinic" AND nee*', '("3clinic" AND "cnee" *)'),
        ('contact_type:"clinic" AND (a* OR b*)', '("3clinic" AND ("ca" * OR "cb" *))'),
        ('contact_type:"clinic" AND *:*', '"3clinic"'),
        ("a* OR *:*", None),
        ("a* OR b* AND c*", '("ca" * OR ("cb" * AND "cc" *))'),
        (" ( *:* ) ", None),
    ],
)
def test_queries_that_clients_send(query: str, match: str | None) -> None:
    assert match_of(query, Kind.CONTACT) == match


def test_reports_have_words_of_their_own() -> None:
    assert match_of('exact_match:"contact:P1" OR fever', Kind.REPORT) == '("2contact:p1" OR "rfever")'


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("", "expected a term at the end"),
        ("a b", "expected AND, OR or the end before 'b'"),
        ("a AND", "expected a term at the end"),
        ("OR a", "expected a term before 'OR'"),
        ("NOT a", "expected a term before 'NOT'"),
        ("(a", "expected a closing parenthesis"),
        ("a)", "expected AND, OR or the end before ')'"),
        ("()", "expected a term before ')'"),
        ('name:"x"', "the field 'name' is not one of exact_match, contact_type and default"),
        ('"two words"', "expected one word instead of '\"two words\"'"),
        ('exact_match:"open', "cannot read it from ':\"open' on"),
        ("a~2", "cannot read it from '~2' on"),
        ("(" * (DEEPEST + 1) + "a", f"expected at most {DEEPEST} parentheses within each other"),
        (" OR ".join(["a"] * 1001), "expected at most 1000 terms"),
    ],
)
def test_what_cannot_be_read_is_told(query: str, reason: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        match_of(query, Kind.CONTACT)

    assert refused.value.message.endswith(f": {reason}")
