"""The profile `COMPAT=cht`: what is observed where it differs from what is documented (30 EP-6, §18)."""

from __future__ import annotations

import secrets
from typing import Any

from aiohttp.test_utils import TestClient, TestServer

from api.app import create_app
from core.config import Config
from core.couch.client import Couch
from tests.conftest import basic


async def test_names_that_are_taken_and_weak_passwords(couch: Couch, config: Config, make_user: Any) -> None:
    taken = (await make_user("mary", roles=["data_entry"])).name
    server = TestServer(create_app(config.replace(compat="cht")))
    headers = {**basic(*config.couch_admin), "Accept": "application/json"}

    async with TestClient(server, headers=headers) as client:
        body = {"username": taken, "password": "Blue-kite-77", "roles": ["data_entry"]}
        first = await client.post("/api/v1/users", json=body)
        weak = await client.post(
            "/api/v1/users", json={**body, "username": f"x{secrets.token_hex(4)}", "password": "secret"}
        )

        assert (first.status, (await first.json())["error"]) == (
            400,
            {
                "message": f'Username "{taken}" already taken.',
                "translationKey": "username.taken",
                "translationParams": {"username": taken},
            },
        )  # DIV-12
        assert (weak.status, (await weak.json())["error"]["translationKey"]) == (
            400,
            "password.length.minimum",
        )  # DIV-15


def test_the_profile_is_read_from_the_environment() -> None:
    assert (Config.from_env({}).compat, Config.from_env({"COMPAT": "cht"}).compat) == ("documented", "cht")  # EP-6
