"""PUT /api/v1/credentials/{key}."""

from __future__ import annotations

from typing import Any

import pytest
from aiohttp.test_utils import TestClient

from core.config import Config
from core.couch.client import Couch
from core.credentials import find_credential

Client = TestClient[Any, Any]


async def test_a_secret_goes_in_sealed(client: Client, couch: Couch, config: Config) -> None:
    vault = couch.db(config.db_name("vault"))
    statuses = []
    for secret in ("first", "Geheimnis ✓"):
        answer = await client.put("/api/v1/credentials/africastalking.com%3Aincoming", data=secret.encode())
        statuses.append((answer.status, await answer.json()))

    assert statuses == [(200, {"ok": True})] * 2  # EP-OTH-1, AGG-8
    assert await find_credential(vault, "africastalking.com:incoming") == "Geheimnis ✓"
    doc = await vault.get("credential:africastalking.com%3Aincoming")
    assert "Geheimnis" not in str(doc)  # MOD-99


@pytest.mark.parametrize(("body", "error"), [(b"", "Missing required request body"), (b"\xff", "UTF-8")])
async def test_what_is_no_secret_is_refused(client: Client, body: bytes, error: str) -> None:
    answer = await client.put("/api/v1/credentials/key", data=body)

    assert answer.status == 400  # EP-OTH-1
    assert error in await answer.text()


async def test_credentials_are_for_administrators(client: Client, make_user: Any) -> None:
    officer = await make_user("officer", roles=["program_officer"])
    chw = await make_user("chw", roles=["chw"])
    online = await client.put("/api/v1/credentials/key", data="x", headers=officer)
    offline = await client.put("/api/v1/credentials/key", data="x", headers=chw)
    anonymous = await client.put(
        "/api/v1/credentials/key", data="x", headers={"Authorization": "", "Accept": "application/json"}
    )

    assert (online.status, await online.text()) == (403, "Insufficient permissions")  # EP-OTH-1, 10 §5.3
    assert (offline.status, anonymous.status) == (403, 401)
