"""Submissions as OpenRosa clients make them."""

from __future__ import annotations

import base64
import io
import uuid
from typing import Any

import aiohttp
from aiohttp.test_utils import TestClient

Client = TestClient[Any, Any]
INSTANCE_ID = "11111111-2222-4333-8444-555555555555"
E1 = f"""<bn id="bednet_visit" version="2031020301">
  <inputs><source>contact</source><contact><_id>c-odera</_id></contact></inputs>
  <place_id>c-odera</place_id>
  <secret tag="hidden">9</secret>
  <net><colour>blue</colour></net>
  <net><colour>white</colour></net>
  <newborn db-doc="true"><type>person</type><name>Ada</name><parent>c-odera</parent>
    <source_report db-doc-ref="/bn"/></newborn>
  <child_ref db-doc-ref="/bn/newborn"/>
  <meta><instanceID>uuid:{INSTANCE_ID}</instanceID></meta>
</bn>"""
NEWBORN = str(uuid.uuid5(uuid.NAMESPACE_URL, f"uuid:{INSTANCE_ID}/bn/newborn"))
PHOTO = base64.b64decode("iVBORw0KGgo=") + bytes(range(256)) * 300


def body_of(xml: str | bytes | None, **files: bytes) -> aiohttp.FormData:
    """A submission as ODK Collect makes it; `__` in a file's name stands for a dot."""
    form = aiohttp.FormData(quote_fields=False)
    if xml is not None:
        form.add_field("xml_submission_file", xml, filename="i.xml", content_type="text/xml")
    for name, data in files.items():
        filename = name.replace("__", ".")
        form.add_field(filename, io.BytesIO(data), filename=filename, content_type="image/jpeg")
    return form


async def submit(client: Client, headers: Any, xml: str | bytes | None, **files: bytes) -> tuple[int, str]:
    answer = await client.post("/openrosa/submission?deviceID=d1", data=body_of(xml, **files), headers=headers)
    assert answer.headers["X-OpenRosa-Version"] == "1.0"  # OR-2
    assert answer.headers["Content-Type"] == "text/xml; charset=utf-8"
    assert "Date" in answer.headers
    return answer.status, await answer.text()
