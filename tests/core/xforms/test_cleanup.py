"""XForms of pyxform as the field's own tools leave them (65 CONF-60..68)."""

from __future__ import annotations

from lxml import etree
from pyxform.xls2xform import convert

from core.xforms.cleanup import cleaned
from core.xforms.definition import NAMESPACES, primary_root

TABLE = """
| survey |
| | type | name | label::English (en) | label::Kiswahili (sw) | appearance | default | calculation | repeat_count | instance::db-doc | instance::db-doc-ref | media::image |
| | begin group | inputs | NO_LABEL | NO_LABEL | | | | | | | |
| | hidden | source | | | | | | | | | |
| | end group | | | | | | | | | | |
| | text | secret | Secret | Siri | | | | | | | |
| | integer | how_many | How many? | Ngapi? | | | | | | | |
| | begin repeat | child | DELETE_THIS_LINE | DELETE_THIS_LINE | | | | ${how_many} | | | |
| | text | name | Name | Jina | | | | | | | |
| | end repeat | | | | | | | | | | |
| | begin group | newborn | Newborn | Mtoto | | | | | true | | |
| | text | of | Of | Ya | | | | | | /registration | |
| | end group | | | | | | | | | | |
| | text | ref | Ref | Ref | | | | | | ../newborn | |
| | select_one net | net | Net | Neti | | | | | | | |
| | text | picture | Picture | Picha | display-base64-image | AA/+BB== | | | | | |
| choices |
| | list_name | name | label::English (en) | label::Kiswahili (sw) | media::image |
| | net | blue | Blue | Bluu | blue.png |
| | net | white | White | Nyeupe | white.png |
| settings |
| | form_id | form_title | default_language |
| | registration | Registration | English (en) |
"""  # noqa: E501
RAW = str(convert(TABLE).xform)
FORM = etree.fromstring(cleaned(RAW, ["secret"]))
ROOT = primary_root(FORM)


def found(path: str) -> list[etree._Element]:
    elements: list[etree._Element] = FORM.xpath(path, namespaces=NAMESPACES)
    return elements


def names(element: etree._Element) -> list[str]:
    return [etree.QName(child).localname for child in element]


def test_inputs_have_a_place_for_the_position() -> None:
    [inputs] = ROOT.iterfind("xf:inputs", NAMESPACES)

    assert names(inputs) == ["meta", "source"]  # CONF-60
    assert names(inputs[0][0]) == ["lat", "long", "error", "message"]


def test_no_language_is_the_default_but_for_collectors() -> None:
    collect = etree.fromstring(cleaned(RAW, collect=True))

    assert found("//xf:translation[@default]") == []  # CONF-61
    assert len(collect.findall(".//xf:translation[@default]", NAMESPACES)) == 1
    assert primary_root(collect).find("xf:inputs/xf:meta", NAMESPACES) is None


def test_hidden_fields_are_tagged() -> None:
    assert [etree.QName(node).localname for node in ROOT.iter() if node.get("tag") == "hidden"] == ["secret"]  # CONF-62


def test_choices_with_pictures_stand_in_their_question() -> None:
    [question] = found("//xf:select1")

    assert names(question) == ["label", "item", "item"]  # CONF-64
    assert [item.findtext("xf:value", namespaces=NAMESPACES) for item in question[1:]] == ["blue", "white"]
    assert [item[0].get("ref") for item in question[1:]] == ["jr:itext('net-0')", "jr:itext('net-1')"]


def test_a_picture_by_default_stands_in_its_node() -> None:
    assert ROOT.findtext("xf:picture", namespaces=NAMESPACES) == "AA/+BB=="  # CONF-65
    assert found("//xf:setvalue[@ref='/data/picture']") == []


def test_labels_that_say_nothing_go() -> None:
    text = etree.tostring(FORM, encoding="unicode")

    assert "NO_LABEL" not in text  # CONF-66
    assert "DELETE_THIS_LINE" not in text
    assert found("//xf:group[@ref='/data/inputs']/xf:label") == []
    assert len(found("//xf:group[@ref='/data/newborn']/xf:label")) == 1


def test_repeats_begin_with_no_instance_and_are_counted_by_their_own() -> None:
    [repeat] = found("//xf:repeat")
    [bind] = found("//xf:bind[@nodeset='/data/child_count']")

    assert [child for child in names(ROOT) if child.startswith("child")] == ["child_count", "child"]  # CONF-67
    assert repeat.get(f"{{{NAMESPACES['jr']}}}count").strip() == "/data/child_count"
    assert (bind.get("calculate") or "").strip() == "/data/how_many"


def test_references_to_documents_are_absolute() -> None:
    references = [node.get("db-doc-ref") for node in ROOT.iter() if node.get("db-doc-ref")]

    assert references == ["/data", "/data/newborn"]  # CONF-68
