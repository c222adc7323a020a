"""Forms as an author writes them, in pyxform's plain tables, and the documents that hold them."""

from __future__ import annotations

import base64
import hashlib
import io
from functools import cache
from typing import Any

from pyxform.xls2json_backends import md_table_to_workbook
from pyxform.xls2xform import convert

NET_VISIT = """
| survey |
| | type | name | label | required | constraint | calculation | relevant |
| | date | visit_date | When? | yes | . <= today() | | |
| | select_one yn | sick | Anybody __sick__? | yes | | | |
| | integer | how_many | How many? | | . < 20 | | ${sick} = 'yes' |
| | begin repeat | net | Net | | | | |
| | select_one color | colour | Colour | | | | |
| | end repeat | | | | | | |
| | begin group | house | House | | | | |
| | text | place_id | House number | | | | |
| | end group | | | | | | |
| | image | photo | Photo of the door | | | | |
| | calculate | total | | | | ${how_many} + 1 | |
| | note | summary | That makes ${total}. [More](http://h.example/?n=${total}) | | | | |
| choices |
| | list_name | name | label |
| | yn | yes | Yes |
| | yn | no | No |
| | color | blue | Blue |
| | color | white | White |
| settings |
| | form_id | form_title | version |
| | net_visit | Bed net visit | 2031020301 |
"""

BEDNET_XFORM = """<?xml version="1.0"?>
<h:html xmlns="http://www.w3.org/2002/xforms" xmlns:h="http://www.w3.org/1999/xhtml">
  <h:head><h:title>Bed nets</h:title><model><instance>
    <bn id="bednet_visit" version="2031020301">
      <inputs><source/><contact><_id/></contact></inputs><place_id/><secret tag="hidden"/><net><colour/></net>
      <newborn db-doc="true"><type/><name/><parent/><source_report db-doc-ref="/bn"/></newborn>
      <child_ref db-doc-ref="/bn/newborn"/><meta><instanceID/></meta>
    </bn></instance>
    <bind nodeset="/bn/place_id" type="string"/><bind nodeset="/bn/photo" type="binary"/></model></h:head>
  <h:body><group ref="/bn/net"><repeat nodeset="/bn/net"><input ref="/bn/net/colour"><label>Colour</label></input>
  </repeat></group></h:body>
</h:html>"""

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)

FORM_VERSION = {"time": 1_927_000_000_000, "sha256": "ab12"}


@cache
def xform_of(tables: str) -> str:
    """The XForm that pyxform makes of such a table."""
    return str(convert(tables).xform)


def form_doc(code: str, xform: str, *, context: Any = None, **members: Any) -> dict[str, Any]:
    return {
        "_id": f"form:{code}",
        "type": "form",
        "internalId": code,
        "title": code,
        "xmlVersion": FORM_VERSION,
        **({"context": context} if context is not None else {}),
        "_attachments": {"xml": attachment("application/xml", xform.encode())},
        **members,
    }


def attachment(content_type: str, data: bytes) -> dict[str, str]:
    return {"content_type": content_type, "data": base64.b64encode(data).decode()}


def md5_of(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def workbook_of(tables: str) -> bytes:
    """The same table as an .xlsx file, as a spreadsheet saves it."""
    out = io.BytesIO()
    md_table_to_workbook(tables).save(out)
    return out.getvalue()
