"""Forms looked at without the engine that fills them in: choices and pictures are there."""

from __future__ import annotations

import pytest
from lxml import html
from pyxform.xls2xform import convert as xform_of_table

from core.errors import InvalidInput
from core.xforms.conversion import convert
from core.xforms.preview import preview_of

TABLE = """
| survey |
| | type | name | label::en | label::sw | appearance | choice_filter | media::image::en |
| | select_one yn | sick | Sick? | Mgonjwa? | | | h&t.png |
| | select_multiple yn | which | Which? | Zipi? | | | |
| | select_one yn | short | Short | Fupi | minimal | name != ${sick} | |
| choices |
| | list_name | name | label::en | label::sw |
| | yn | yes | Yes | Ndiyo |
| | yn | no | No | Hapana |
| settings |
| | form_id | default_language |
| | f | en |
"""


def test_choices_stand_in_their_questions_with_all_translations() -> None:
    made = convert(str(xform_of_table(TABLE).xform).encode())
    form = html.fragment_fromstring(preview_of(made.form.encode(), made.model.encode(), "/medic/form%3Af/"))
    radios = form.xpath("//label[input[@type='radio']]")
    boxes = form.xpath("//label[input[@type='checkbox']]")

    assert [[span.text for span in each.iter("span")] for each in radios] == [["Yes", "Ndiyo"], ["No", "Hapana"]]
    assert [[span.text for span in each.iter("span")] for each in boxes] == [["Yes", "Ndiyo"], ["No", "Hapana"]]
    assert [option.text for option in form.xpath("//select[@name='/data/short']/option")] == [
        "Yes / Ndiyo",
        "No / Hapana",
    ]
    assert form.xpath("//*[contains(@class, 'itemset')]") == []
    assert form.xpath("//img/@src") == ["/medic/form%3Af/images/h%26t.png"]


def test_what_the_model_lacks_is_left_out() -> None:
    form = b"<form><label class='itemset-template' data-items-path=\"instance('x')/root/item\"><input/></label></form>"

    assert preview_of(form, b"<model/>", "/") == "<form></form>"


@pytest.mark.parametrize(("form", "model"), [(b"", b"<model/>"), (b"<p/>x<p/>", b"<model/>"), (b"<form/>", b"<")])
def test_what_no_conversion_makes_is_refused(form: bytes, model: bytes) -> None:
    with pytest.raises(InvalidInput):
        preview_of(form, model, "/")
