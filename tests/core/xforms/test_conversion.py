"""What browsers get of a form: HTML, model, markdown, and nothing that acts (FORM-20..29, E4)."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest
from lxml import etree, html

from core.errors import InvalidInput
from core.xforms.conversion import convert
from core.xforms.converter import Converter
from core.xforms.markdown import harmless, html_of

NS = 'xmlns="http://www.w3.org/2002/xforms" xmlns:h="http://www.w3.org/1999/xhtml"'


def xform(instance: str, binds: str, body: str, *, more: str = "", attributes: str = "") -> bytes:
    return f"""<h:html {NS} xmlns:jr="http://openrosa.org/javarosa" xmlns:cht="http://communityhealthtoolkit.org">
      <h:head><h:title>T</h:title><model><instance><hv id="hv" {attributes}>{instance}</hv></instance>{more}{binds}
      </model></h:head><h:body class="pages">{body}</h:body></h:html>""".encode()


E4 = xform(
    "<g><ok/><n/></g>",
    """<bind nodeset="/hv/g/n" type="int" constraint=". &lt; 10" jr:constraintMsg="small"
      relevant=" /hv/g/ok = 'yes'"/>""",
    '<input ref="/hv/g/n"><label>Is **all** well?</label></input>',
)


def form_of(source: bytes) -> html.HtmlElement:
    return html.fragment_fromstring(convert(source).form)


def test_a_bound_question_carries_its_rules() -> None:
    form = form_of(E4)
    [question] = form.find_class("question")
    [field] = question.iter("input")

    assert dict(field.attrib) == {  # E4
        "type": "number",
        "name": "/hv/g/n",
        "data-constraint": ". < 10",
        "data-relevant": " /hv/g/ok = 'yes'",
        "data-type-xml": "int",
    }
    assert {"or-branch", "pre-init"} <= set(question.get("class").split())
    assert field.getnext().get("class").split()[0] == "or-constraint-msg"
    assert field.getnext().text == "small"
    [label] = form.find_class("question-label")
    assert etree.tostring(label, encoding="unicode", with_tail=False).endswith("Is <strong>all</strong> well?</span>")


def test_the_form_has_the_shape_clients_rely_on() -> None:
    form = form_of(E4)

    assert (form.tag, form.get("data-form-id")) == ("form", "hv")  # FORM-29
    assert {"or", "pages"} <= set(form.get("class").split())
    assert form.find_class("form-logo")
    assert form.get_element_by_id("form-title").text == "T"


@pytest.mark.parametrize(
    ("kind", "appearance", "expected"),
    [
        ("dateTime", "", "datetime-local"),
        ("date", "", "date"),
        ("time", "", "time"),
        ("binary", "", "file"),
        ("int", "", "number"),
        ("decimal", "", "number"),
        ("double", "", "number"),
        ("string", "", "text"),
        ("string", "numbers", "tel"),
        ("tel", "", "tel"),
        ("barcode", "", "text"),
        ("geopoint", "", "text"),
        ("something", "", "text"),
    ],
)
def test_each_type_has_its_input(kind: str, appearance: str, expected: str) -> None:
    body = f'<input ref="/hv/a" appearance="{appearance}"><label>A</label></input>'
    form = form_of(xform("<a/>", f'<bind nodeset="/hv/a" type="{kind}"/>', body))

    assert [each.get("type") for each in form.iter("input")] == [expected]  # FORM-24


def test_a_note_has_no_required_mark() -> None:
    bind = '<bind nodeset="/hv/a" type="string" required="true()" readonly="true()"/>'

    assert not form_of(xform("<a/>", bind, '<input ref="/hv/a"><label>A</label></input>')).find_class("required")


def test_cht_attributes_stand_on_their_question() -> None:
    form = form_of(
        xform('<a cht:duration="3"/>', '<bind nodeset="/hv/a"/>', '<input ref="/hv/a"><label>A</label></input>')
    )

    assert [each.get("data-cht-duration") for each in form.find_class("question")] == ["3"]  # FORM-25


def test_media_are_loaded_by_the_client() -> None:
    translation = """<itext><translation lang="en"><text id="a"><value>A</value>
      <value form="image">jr://images/a.png</value></text></translation></itext>"""
    body = """<input ref="/hv/a"><label ref="jr:itext('a')"/></input>"""
    text = convert(xform("<a/>", '<bind nodeset="/hv/a" type="string"/>', body, more=translation)).form

    assert 'data-media-src="images/a.png"' in text  # FORM-25
    assert "jr://" not in text


def test_placeholders_survive_in_text_and_in_addresses() -> None:
    output = '<output value="/hv/a"/>'
    label = f'Hi {output}, *see* [this](http://h.example/?x={output}).\nBye <output value="/hv/b"/>'
    form = form_of(xform("<a/><b/>", "", f'<input ref="/hv/a"><label>{label}</label></input>'))
    [anchor] = form.find_class("dynamic-url")

    assert [each.get("data-value") for each in form.find_class("or-output")] == ["/hv/a", "/hv/a", "/hv/b"]  # FORM-26
    assert [each.get("data-value") for each in anchor[0].iter("span")][1:] == ["/hv/a"]
    assert anchor[0].text == "http://h.example/?x="
    text = form.find_class("question-label")[0].text_content()
    assert re.sub(r"\s+", " ", text).strip() == "Hi , see thishttp://h.example/?x= .Bye"


def test_the_model_holds_the_instances_alone() -> None:
    more = '<instance id="c"><root><item/></root></instance>'
    model = etree.fromstring(convert(xform("<a/>", '<bind nodeset="/hv/a"/>', "", more=more)).model)

    assert [etree.QName(each).localname for each in model] == ["instance", "instance"]  # FORM-28
    assert etree.QName(model).localname == "model"
    assert model[1].get("id") == "c"


def test_the_same_form_gives_the_same_bytes() -> None:
    assert convert(E4) == convert(E4)  # FORM-23


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (b"<h:html xmlns:h='http://www.w3.org/1999/xhtml'/>", "must hold"),
        (xform("<a/>", '<bind nodeset="a"/>', ""), "relative nodeset"),
        (xform("<a/>", "<submission action='x'/>", ""), "not supported"),
    ],
)
def test_what_the_stylesheets_report_is_a_failure(source: bytes, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        convert(source)  # FORM-21


def test_what_authors_write_reads_no_file(tmp_path: Path) -> None:
    secret = tmp_path / "secret.xml"
    secret.write_text("<root><item><name>found</name><label>found</label></item></root>")
    address = f"document('file://{secret}')"
    body = f"""<select1 ref="/hv/a"><label>A <output value="{address}/root/item/name"/></label>
      <itemset nodeset="{address}/root/item"><value ref="name"/><label ref="label"/></itemset></select1>"""

    assert "found" not in convert(xform("<a/>", '<bind nodeset="/hv/a"/>', body)).form


# --- markdown ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("__a__ and **b**", "<strong>a</strong> and <strong>b</strong>"),
        ("_a_ and *b*", "<em>a</em> and <em>b</em>"),
        ("2 * 3 * 4", "2 * 3 * 4"),
        (
            "[text](http://h.example/a_b_c?d=1&e=2)",
            '<a href="http://h.example/a_b_c?d=1&amp;e=2" rel="noopener" target="_blank">text</a>',
        ),
        ("# One\n###### Six", "<h1>One</h1><h6>Six</h6>"),
        ("* a\n* b\n", "<ul><li>a</li><li>b</li></ul>"),
        ("- a\n+ b", "<ul><li>a</li><li>b</li></ul>"),
        ("x\n1. a\n2. b", "x<ol><li>a</li><li>b</li></ol>"),
        ("x\n3. a\n4. b", 'x<ol start="3"><li>a</li><li>b</li></ol>'),
        ("1. not a list", "1. not a list"),
        ("a\n\nb\nc", "<p>a</p>b<br>c"),
        (r"\*a\* \_b\_ \# \\", r"*a* _b_ # \\"[:-1]),
        (
            '<span style="color:red">a</span><sup>2</sup><sub>3</sub>',
            '<span style="color:red">a</span><sup>2</sup><sub>3</sub>',
        ),
        ('<b title="a_b_c">x</b>', '<b title="a_b_c">x</b>'),
        ("5 < 6 & 7 > 2", "5 &lt; 6 &amp; 7 &gt; 2"),
    ],
)
def test_markdown_becomes_html(text: str, expected: str) -> None:
    assert html_of(text) == expected  # FORM-26


@pytest.mark.parametrize(
    "text",
    [
        "<script>x()</script>",
        "<img src=x onerror=x()>",
        "<a href='javascript:x()'>a</a>",
        "[a](javascript:x())",
        "[a](<script>x()</script>)",
        '[a](" onclick="x())',
        "<svg onload=x()>",
        "<iframe src='http://h.example'></iframe>",
        "<p style='background:url(http://h.example/x)'>a</p>",
        "<p style='background:u\\rl(javascript:x())'>a</p>",
        "<a href='data:text/html,x'>a</a>",
        "<style>p{}</style>",
        "<form action='http://h.example'><input name='a'></form>",
        "<b __onclick='x()'__>a</b>",
    ],
)
def test_nothing_that_acts_is_left(text: str) -> None:
    found = html_of(text)

    assert not re.search(
        r"<(script|svg|iframe|style|form|input)|\son\w+\s*=\s*\"|javascript:x|url\(|data:", found.replace("&quot;", "")
    )


@pytest.mark.parametrize(
    "text", ['<img src="data:image/png;base64,AA==" alt="a">', '<table border="1"><tr><td>a</td></tr></table>']
)
def test_plain_html_is_kept(text: str) -> None:
    assert re.sub("</?tbody>", "", harmless(text)) == text  # FORM-27


# --- the process ------------------------------------------------------------------------------------------------------


async def test_a_process_of_its_own_converts_one_form_after_another() -> None:
    converter = Converter()
    made = await asyncio.gather(
        *(converter.convert(E4) for _ in range(3)), converter.convert(b"<a"), return_exceptions=True
    )
    await converter.close()

    assert made[0] == made[1] == made[2]
    assert isinstance(made[3], InvalidInput)


async def test_a_form_that_takes_too_long_is_refused_and_the_next_one_is_not() -> None:
    converter = Converter(time_limit_s=0.001)
    with pytest.raises(InvalidInput, match="could not be converted within"):
        await converter.convert(E4)
    converter.time_limit_s = 20
    made = await converter.convert(E4)
    await converter.close()

    assert made.form.startswith(b"<form")
