"""Instances become documents as a phone makes them (XR-1..9, XC-1..8, E1, E3)."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import InvalidInput
from core.xforms.contact_docs import contact_docs, named_contacts
from core.xforms.instance import doc_id_of, read_instance
from core.xforms.reports import Meaning, Produced, file_names, report_of
from core.xforms.safe_xml import parse_xml

NOW_MS = 1_928_000_000_000
VERSION = {"time": 1_927_000_000_000, "sha256": "ab12"}
INSTANCE_ID = "11111111-2222-4333-8444-555555555555"
E1 = f"""<bn id="bednet_visit" version="2031020301">
  <inputs><source>contact</source><contact><_id>hh-1</_id></contact></inputs>
  <place_id>hh-1</place_id>
  <secret tag="hidden">9</secret>
  <net><colour>blue</colour></net>
  <net><colour>white</colour></net>
  <newborn db-doc="true"><type>person</type><name>Ada</name><parent>hh-1</parent>
    <source_report db-doc-ref="/bn"/></newborn>
  <child_ref db-doc-ref="/bn/newborn"/>
  <meta><instanceID>uuid:{INSTANCE_ID}</instanceID></meta>
</bn>"""


def produced(xml: str, *, repeats: Any = (), code: str = "f", **options: Any) -> Produced:
    meaning = Meaning(code, VERSION, frozenset(repeats))
    root = parse_xml(xml.encode(), "XML")
    return report_of(root, meaning, report_id="r", new_id=lambda place: f"new {place}", now_ms=NOW_MS, **options)


def fields(xml: str, **options: Any) -> Any:
    return produced(xml, **options).report["fields"]


def test_a_report_with_an_extra_document_a_repeat_and_references() -> None:
    contact = {"_id": "p-9", "parent": {"_id": "hc-1"}}
    found = produced(E1, repeats=["/bn/net"], code="bednet_visit", contact=contact, phone="+15550001")

    assert found.report == {  # E1
        "_id": "r",
        "type": "data_record",
        "form": "bednet_visit",
        "content_type": "xml",
        "from": "+15550001",
        "contact": contact,
        "reported_date": NOW_MS,
        "form_version": VERSION,
        "hidden_fields": ["secret", "newborn"],
        "fields": {
            "inputs": {"source": "contact", "contact": {"_id": "hh-1"}},
            "place_id": "hh-1",
            "secret": "9",
            "net": [{"colour": "blue"}, {"colour": "white"}],
            "newborn": {"type": "person", "name": "Ada", "parent": "hh-1", "source_report": "r"},
            "child_ref": "new /bn/newborn",
            "meta": {"instanceID": f"uuid:{INSTANCE_ID}"},
        },
    }
    assert found.others == [
        {
            "_id": "new /bn/newborn",
            "type": "person",
            "name": "Ada",
            "parent": "hh-1",
            "source_report": "r",
            "form_version": VERSION,
            "reported_date": NOW_MS,
        }
    ]


@pytest.mark.parametrize(
    ("xml", "expected"),
    [
        ("<d><a> x </a><b/><c>5</c></d>", {"a": " x ", "b": "", "c": "5"}),  # XR-3
        ("<d><a k='v'><b>1</b></a></d>", {"a": {"b": "1"}}),
        ("<d xmlns:orx='urn:o'><orx:meta><orx:id>1</orx:id></orx:meta></d>", {"orx:meta": {"orx:id": "1"}}),
        ("<d><a>1</a><a>2</a></d>", {"a": "2"}),  # XR-4: no repeat
        ("<d><r><a>1</a></r></d>", {"r": [{"a": "1"}]}),
        ("<d><r><r2>1</r2><r2>2</r2></r><r/></d>", {"r": [{"r2": ["1", "2"]}, ""]}),
        ("<d/>", {}),
        ("<d><a>1</a>text<b>2</b></d>", {"a": "1", "b": "2"}),
    ],
)
def test_fields_are_the_children_of_the_root(xml: str, expected: Any) -> None:
    assert fields(xml, repeats=["/d/r", "/d/r/r2"]) == expected


def test_a_document_in_a_repeat_is_one_for_each() -> None:
    xml = """<d><child><person db-doc="TRUE"><n>1</n></person><ref db-doc-ref="/d/child/person"/></child>
      <child><person db-doc="true"><_id>own</_id><n>2</n></person><ref db-doc-ref="./child/person"/></child></d>"""
    found = produced(xml, repeats=["/d/child"])

    assert [doc["_id"] for doc in found.others] == ["new /d/child[1]/person", "own"]  # XR-6
    assert [each["ref"] for each in found.report["fields"]["child"]] == ["new /d/child[1]/person", "own"]  # XR-7
    assert found.named == {"own"}
    assert found.report["hidden_fields"] == ["child.person"]  # XR-8: unique


def test_a_reference_to_nowhere_is_left_alone() -> None:
    assert fields('<d><a db-doc-ref="/d/b">kept</a><b><c>1</c></b></d>')["a"] == "kept"  # XR-7


def test_a_reference_may_name_the_end_of_a_path() -> None:
    xml = '<d><g><p db-doc="true"><n>1</n></p></g><a db-doc-ref="p"/><b db-doc-ref="/d"/><c db-doc-ref="g/p"/></d>'

    assert {name: fields(xml)[name] for name in "abc"} == {"a": "new /d/g/p", "b": "r", "c": "new /d/g/p"}  # XR-7


def test_paths_below_a_hidden_one_are_not_told_again() -> None:
    xml = """<d><g tag="hidden"><a tag="hidden"/></g><gg tag="Hidden"/><h><b tag="hidden"/><b tag="hidden"/></h></d>"""

    assert produced(xml).report["hidden_fields"] == ["g", "gg", "h.b"]  # XR-8


def test_drawings_leave_the_fields() -> None:
    drawn = base64.b64encode(b"png").decode()
    xml = f"""<d><s type="binary">{drawn}</s><r><p type="binary">{drawn}</p></r><r><p type="binary">{drawn}</p></r>
      <f type="binary">photo.jpg</f><e type="binary"/></d>"""
    found = produced(xml, repeats=["/d/r"])

    assert found.drawings == {  # XR-9
        "user-file/f/s": b"png",
        "user-file/f/r[1]/p": b"png",
        "user-file/f/r[2]/p": b"png",
    }
    assert found.report["fields"] == {"s": "", "r": [{"p": ""}, {"p": ""}], "f": "photo.jpg", "e": ""}


def test_files_are_named_by_binary_nodes() -> None:
    root = parse_xml(b"<d><a>x.jpg</a><b>no.jpg</b><r><a>y.jpg</a></r><r><a/></r></d>", "XML")

    assert file_names(root, {"/d/a", "/d/r/a"}) == ["x.jpg", "y.jpg"]  # OR-29


NAME = st.sampled_from(["a", "b", "c", "r", "orx:m"])
TREE: Any = st.recursive(
    st.text("xyz <&é", max_size=4), lambda below: st.lists(st.tuples(NAME, below), min_size=1, max_size=4)
)


def as_xml(name: str, value: Any) -> str:
    text = (
        "".join(as_xml(*child) for child in value)
        if isinstance(value, list)
        else value.replace("&", "&amp;").replace("<", "&lt;")
    )
    return f"<{name}>{text}</{name}>"


def expected_of(value: Any, path: str, repeats: frozenset[str]) -> Any:
    if not isinstance(value, list):
        return value
    found: dict[str, Any] = {}
    for name, below in value:
        made = expected_of(below, f"{path}/{name}", repeats)
        if f"{path}/{name}" in repeats:
            found.setdefault(name, []).append(made)
        else:
            found[name] = made
    return found


@given(
    st.lists(st.tuples(NAME, TREE), min_size=1, max_size=4), st.frozensets(st.sampled_from(["/d/r", "/d/a/r", "/d/b"]))
)
def test_any_instance_becomes_its_fields(children: Any, repeats: frozenset[str]) -> None:
    xml = as_xml("d", children).replace("<d>", '<d xmlns:orx="urn:o">', 1)

    assert fields(xml, repeats=repeats) == expected_of(children, "/d", repeats)  # XR-3, XR-4


# --- identity ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "xml",
    [
        f"<d id='f'><meta><instanceID>uuid:{INSTANCE_ID}</instanceID></meta></d>",
        f"<d id='f' xmlns:o='urn:o'><o:meta><o:instanceID> uuid:{INSTANCE_ID} </o:instanceID></o:meta></d>",
        f"<d id='f' instanceID='uuid:{INSTANCE_ID}'><meta/></d>",
    ],
)
def test_an_instance_is_known_by_its_id(xml: str) -> None:
    assert read_instance(xml.encode()).doc_id == INSTANCE_ID  # OR-26


@pytest.mark.parametrize(
    ("instance_id", "doc_id"),
    [("uuid:not-one", "or-676cf3df34cee5531694bbe1e164b235"), ("x", "or-2d711642b726b04401627ca9fbac32f5")],
)
def test_an_id_that_is_no_uuid_becomes_a_digest(instance_id: str, doc_id: str) -> None:
    assert doc_id_of(instance_id) == doc_id  # OR-26


def test_an_instance_names_its_form() -> None:
    ids = [read_instance(xml).form_id for xml in (b"<d id='f'/>", b"<d xmlns='http://x.example/f'/>", b"<d/>")]

    assert ids == ["f", "http://x.example/f", "d"]  # OR-25


def test_the_canonical_xml_tells_answers_apart() -> None:
    one, same, other = (
        read_instance(xml).sha256
        for xml in (
            b"<d b='1' a='2'><x></x></d>",
            b"<?xml version='1.0'?><d  a='2' b='1'><x/></d>",
            b"<d a='2' b='1'/>",
        )
    )

    assert one == same != other  # OR-27


# --- contacts ---------------------------------------------------------------------------------------------------------

HC = {"_id": "hc-1", "type": "health_center", "name": "HC", "parent": {"_id": "d-1"}}
IN_HC = {"_id": "hc-1", "parent": {"_id": "d-1"}}


def contacts(xml: str, type_id: str, stored: Any = None, known: Any = None) -> list[dict[str, Any]]:
    root = parse_xml(xml.encode(), "XML")
    ids = iter("CPKL")
    return contact_docs(
        root,
        Meaning("contact:clinic:create", VERSION),
        type_id,
        new_id=lambda place: next(ids),
        now_ms=NOW_MS,
        known={"hc-1": HC} if known is None else known,
        stored=stored,
    )


def test_a_new_place_with_its_contact_and_a_child() -> None:
    xml = """<data><clinic><parent>hc-1</parent><name>Okoye home</name><contact>NEW</contact></clinic>
      <contact><parent>PARENT</parent><type>person</type><name>Ngozi</name></contact>
      <repeat><child><type>person</type><name>Obi</name></child></repeat></data>"""
    saved = {"form_version": VERSION, "reported_date": NOW_MS}
    in_c = {"_id": "C", "parent": IN_HC}

    assert contacts(xml, "clinic") == [  # E3
        {
            "_id": "C",
            "type": "clinic",
            "name": "Okoye home",
            "parent": IN_HC,
            "contact": {"_id": "P", "parent": in_c},
            **saved,
        },
        {"_id": "P", "type": "person", "name": "Ngozi", "parent": in_c, **saved},
        {"_id": "K", "type": "person", "name": "Obi", "parent": in_c, **saved},
    ]
    assert named_contacts(parse_xml(xml.encode(), "XML"), "clinic") == {"hc-1"}


def test_a_configured_type_stands_in_contact_type() -> None:
    [doc] = contacts("<data><chw_area><name>A</name></chw_area></data>", "chw_area")

    assert (doc["type"], doc["contact_type"]) == ("contact", "chw_area")  # XC-2


def test_an_edit_keeps_what_it_may_not_change() -> None:
    stored = {
        "_id": "c-1",
        "_rev": "3-x",
        "type": "clinic",
        "reported_date": 5,
        "name": "Old",
        "note": "kept",
        "parent": {"_id": "hc-1", "parent": {"_id": "elsewhere"}},
        "contact": {"_id": "p-1"},
    }
    xml = """<data><clinic><_id>other</_id><type>person</type><name>New</name><parent>hc-1</parent><contact/></clinic>
      <contact><name>not asked for</name></contact></data>"""
    [doc] = contacts(xml, "clinic", stored)

    assert doc == {  # XC-2, XC-3, XC-4, XC-8
        **{name: value for name, value in stored.items() if name != "contact"},
        "name": "New",
        "form_version": VERSION,
    }


def test_an_absent_relation_is_kept() -> None:
    stored = {"_id": "c-1", "_rev": "3-x", "type": "clinic", "parent": {"_id": "hc-1"}, "contact": {"_id": "p-1"}}
    [doc] = contacts("<data><clinic><name>New</name></clinic></data>", "clinic", stored)

    assert (doc["parent"], doc["contact"]) == (stored["parent"], stored["contact"])  # XC-3


def test_a_new_parent_may_name_its_own_place() -> None:
    xml = """<data><person><name>Ada</name><parent>NEW</parent></person>
      <parent><type>clinic</type><name>Home</name><parent>hc-1</parent><contact>PARENT</contact></parent></data>"""
    person, home = contacts(xml, "person")

    assert home["parent"] == IN_HC  # XC-4: a plain id is read as XC-3
    assert person["parent"] == {"_id": home["_id"], "parent": IN_HC}


@pytest.mark.parametrize(
    ("xml", "message"),
    [
        ("<data><person/></data>", "no group named clinic"),  # XC-1
        ("<data><clinic><contact>NEW</contact></clinic></data>", "no group named contact"),
        ("<data><clinic><parent>nobody</parent></clinic></data>", "parent: there is no contact nobody"),
    ],
)
def test_what_cannot_be_saved_is_told(xml: str, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        contacts(xml, "clinic")
