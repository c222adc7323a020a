"""Who submits forms in these tests."""

from __future__ import annotations

from typing import Any

import pytest
from aiohttp.test_utils import TestClient

from core.couch.client import Database
from tests.api.family import FAMILY
from tests.api.forms.projects import BEDNET_XFORM, form_doc


@pytest.fixture
async def asha(client: TestClient[Any, Any], db: Database, make_user: Any) -> dict[str, str]:
    """A health worker, a form and the family: everything a submission needs."""
    await db.bulk_docs([*FAMILY, form_doc("bednet_visit", BEDNET_XFORM, context={"collect": True})])
    login: dict[str, str] = await make_user("asha", roles=["chw"], facility_id="hc-kanga", contact_id="p-asha")
    return login
