"""The documentation's examples of forms and upgrades, as printed (seed 004, lines 155-225 and 857-899)."""

from __future__ import annotations

from typing import Any

import pytest
from aiohttp.test_utils import TestClient
from lxml import etree

from core.config import Config
from core.couch.client import Database
from tests.api.forms.projects import BEDNET_XFORM, form_doc, md5_of
from tests.api.seed.printed import send
from tests.upgrading import put_build

Client = TestClient[Any, Any]
LISTED = "{http://openrosa.org/xforms/xformsList}"

FORMS = {
    "anc_visit": ("Visit", "ANCVisit"),
    "anc_registration": ("Registration with LMP", "PregnancyRegistration"),
    "off": ("Stop", "Stop"),
}  # lines 189-208: the names below which they are kept, their titles and ids
XFORMS = {
    name: BEDNET_XFORM.replace("Bed nets", title).replace('id="bednet_visit"', f'id="{form_id}"')
    for name, (title, form_id) in FORMS.items()
}
NPYY = {"meta": {"code": "NPYY"}, "fields": {"x": {"type": "string"}}}


@pytest.fixture
async def forms(client: Client, db: Database) -> None:
    await db.bulk_docs([form_doc(name, xform, context={"collect": True}) for name, xform in XFORMS.items()])
    settings = {"forms": {"off": {"meta": {"code": "off"}}, "NPYY": NPYY}}
    assert (await client.put("/api/v1/settings", json=settings)).status == 200


async def test_list_of_forms(client: Client, forms: None) -> None:
    """Lines 166-175, with the form NPYY of line 225."""
    answer = await send(client, "GET /api/v1/forms")

    assert (answer.status, answer.headers["Content-Type"]) == (200, "application/json; charset=utf-8")
    listed = {"anc_visit.xml", "anc_registration.xml", "off.xml", "off.json"}
    assert set(await answer.json()) == listed | {"NPYY.json"}  # EP-FRM-1, DIV-3


async def test_openrosa_list_of_forms(client: Client, forms: None) -> None:
    """Lines 177-209."""
    answer = await send(client, "GET /api/v1/forms\nHost: medic.local\nX-OpenRosa-Version: 1.0")

    assert (answer.status, answer.headers["Content-Type"]) == (200, "text/xml; charset=utf-8")
    assert answer.headers["X-OpenRosa-Version"] == "1.0"
    root = etree.fromstring(await answer.read())
    assert (root.tag, {form.tag for form in root}) == (f"{LISTED}xforms", {f"{LISTED}xform"})
    told = [[form.findtext(LISTED + name) for name in ("name", "formID", "hash", "downloadUrl")] for form in root]
    assert sorted(told) == sorted(
        [title, form_id, f"md5:{md5_of(XFORMS[name].encode())}", f"http://medic.local/api/v1/forms/{name}.xml"]
        for name, (title, form_id) in FORMS.items()
    )  # EP-FRM-3, EP-FRM-4


async def test_a_form_in_xml(client: Client, forms: None) -> None:
    """Line 221, whose name is the id in the XML in other letters."""
    answer = await send(client, "GET /api/v1/forms/pregnancyregistration.xml")

    assert (answer.status, await answer.text()) == (200, XFORMS["anc_registration"])  # EP-FRM-5, EP-FRM-6


async def test_a_form_in_json(client: Client, forms: None) -> None:
    """Line 225."""
    answer = await send(client, "GET /api/v1/forms/NPYY.json")

    assert (answer.status, answer.content_type, await answer.json()) == (200, "application/json", NPYY)


UPGRADE = """{
  "build": {
    "namespace": "medic",
    "application": "medic",
    "version": "3.0.0-beta.1"
  }
}"""  # lines 873-879


@pytest.mark.parametrize(
    ("path", "action"), [("/api/v1/upgrade", "install"), ("/api/v1/upgrade/stage", "stage")], ids=["866", "889"]
)
async def test_an_upgrade_is_asked_for(client: Client, db: Database, config: Config, path: str, action: str) -> None:
    """Lines 866-895: asynchronous, its progress is in the document `horti-upgrade`."""
    builds = config.data / "builds"
    builds.mkdir(parents=True)
    put_build(builds, "3.0.0-beta.1")

    answer = await send(client, f"POST {path}\nContent-Type: application/json\n\n{UPGRADE}")

    assert (answer.status, (await answer.json())["ok"]) == (200, True)  # and a warning, as it is older: EP-UPG-6
    progress = await db.get("horti-upgrade")
    assert (progress["action"], progress["build_info"]["version"]) == (action, "3.0.0-beta.1")  # MOD-98
    assert isinstance(progress["log"], list)


async def test_nothing_is_staged(client: Client) -> None:
    """Lines 897-899."""
    answer = await send(client, "POST /api/v1/upgrade/complete")

    assert answer.status == 404  # EP-UPG-5
    assert await answer.text() == "Cannot find a staged upgrade that is ready for completion"
