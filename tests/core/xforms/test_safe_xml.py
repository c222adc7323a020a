"""XML that anybody may send is refused or read within a second and little memory (FORM-20)."""

from __future__ import annotations

import time
import tracemalloc
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import InvalidInput, TooLarge
from core.xforms.safe_xml import LARGEST_BYTES, parse_xml, qualified_name

LAUGHS = '<!DOCTYPE a [<!ENTITY b0 "ha">' + "".join(
    f'<!ENTITY b{n} "{f"&b{n - 1};" * 10}">' for n in range(1, 10)
)  # a billion of them
NESTED = "<g>" * 10_000 + "</g>" * 10_000
HOSTILE = {
    "billion laughs": f"{LAUGHS}]><a>&b9;</a>",
    "external entity": '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>',
    "external dtd": '<!DOCTYPE a SYSTEM "http://192.0.2.1/a.dtd"><a/>',
    "parameter entity": '<!DOCTYPE a [<!ENTITY % p SYSTEM "http://192.0.2.1/"> %p;]><a/>',
    "lower case": '<!doctype a [<!entity x "y">]><a>&x;</a>',
    "unknown entity": "<a>&x;</a>",
    "10,000 nested groups": NESTED,
    "101 nested groups": "<g>" * 101 + "</g>" * 101,
    "not closed": "<a><b></a>",
    "nothing": "",
    "text": "hello",
    "binary": "\x00\x01\x02",
    "two roots": "<a/><b/>",
    "control character": "<a>\x08</a>",
    "undeclared prefix": "<x:a/>",
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_xml_is_refused_for_less_than_a_second_of_work(text: str) -> None:
    started = time.process_time()
    with pytest.raises(InvalidInput, match="Form XML"):
        parse_xml(text.encode(), "Form XML")

    assert time.process_time() - started < 1


@pytest.mark.parametrize(
    "data",
    [
        "<!DOCTYPE a [<!ENTITY x 'y'>]><a>&x;</a>".encode("utf-16"),
        '<?xml version="1.0" encoding="utf-16"?><!DOCTYPE a><a/>'.encode("utf-16"),
        b'<?xml version="1.0" encoding="utf-7"?><a/>',
        b'<?xml version="1.0" encoding="zip"?><a/>',
        b'<?xml version="1.0" encoding="no-such"?><a/>',
        "<a>\xe9</a>".encode("latin-1"),
        b"\xff\xfe<\x00a\x00/\x00>",
        "<a/>".encode("utf-32"),
    ],
)
def test_no_encoding_hides_anything(data: bytes) -> None:
    with pytest.raises(InvalidInput):
        parse_xml(data, "Form XML")


@pytest.mark.parametrize(
    "data",
    [
        "<a>é</a>".encode(),
        "\ufeff<a>é</a>".encode(),
        '<?xml version="1.0" encoding="ISO-8859-1"?><a>é</a>'.encode("latin-1"),
        "<a>é</a>".encode("utf-16"),
        '<?xml version="1.0" encoding="UTF-16"?>\n<a>é</a>'.encode("utf-16"),
    ],
)
def test_usual_encodings_are_read(data: bytes) -> None:
    assert parse_xml(data, "Form XML").text == "é"


@pytest.mark.parametrize(
    "data", [b" " * (LARGEST_BYTES + 1), b"<a>" + b"<b/>" * 600_000 + b"</a>", b"<a " + b"b='' " * 600_000 + b"/>"]
)
def test_what_is_too_large_costs_little_memory(data: bytes) -> None:
    tracemalloc.start()
    with pytest.raises(TooLarge):
        parse_xml(data, "Form XML")
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert peak_bytes < 2**20


def test_a_form_of_two_megabytes_is_read() -> None:
    groups = "<g><input ref='/a/b'><label>What is it?</label></input></g>" * 35_000

    assert len(parse_xml(f"<a>{groups}</a>".encode(), "Form XML")) == 35_000


def test_comments_and_instructions_do_not_cut_text() -> None:
    assert parse_xml(b"<a>x<!-- c -->y<?p i?>z</a>", "Form XML").text == "xyz"


def test_names_keep_their_prefix() -> None:
    root = parse_xml(b'<a xmlns:orx="urn:x"><orx:meta/></a>', "Form XML")

    assert qualified_name(root[0]) == "orx:meta"


@given(st.binary(max_size=300))
def test_no_bytes_whatever_raise_anything_else(data: bytes) -> None:
    with suppress(InvalidInput, TooLarge):
        parse_xml(data, "Form XML")
