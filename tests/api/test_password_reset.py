"""Choosing a password at the first login (AUTH-90..93)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import ClientResponse
from aiohttp.test_utils import TestClient, TestServer

from api.app import create_app
from core.config import Config
from core.couch.client import Couch
from tests.api.test_login import ANONYMOUS, log_in, set_cookies
from tests.api.test_login_limits import assert_slowed_down
from tests.conftest import Background, basic

Client = TestClient[Any, Any]
NEW = "Green-boat-12"


@pytest.fixture
async def strict(couch: Couch, config: Config, indexer: Background) -> AsyncIterator[Client]:
    """The API of a deployment that makes users choose their password."""
    app = create_app(config.replace(force_password_change=True))
    async with TestClient(TestServer(app), headers=basic(*config.couch_admin)) as client:
        yield client


async def reset(client: Client, login: Any, **members: Any) -> ClientResponse:
    body = {"username": login.name, "currentPassword": login.password, "password": NEW, **members}
    return await client.post("/medic/password-reset", json=body, headers=ANONYMOUS, allow_redirects=False)


async def test_the_first_login_leads_to_the_password_page(strict: Client, make_user: Any, config: Config) -> None:
    asha = await make_user("asha", roles=["chw"], password_change_required=True)
    answer = await log_in(strict, asha)

    assert (answer.status, await answer.text()) == (302, f"/{config.database}/password-reset")  # AUTH-90
    assert {"userCtx", "locale"} <= set(set_cookies(answer))
    assert "AuthSession" not in set_cookies(answer)


async def test_a_chosen_password_logs_in(strict: Client, make_user: Any, couch: Couch) -> None:
    asha = await make_user("asha", roles=["chw"], password_change_required=True)
    answer = await reset(strict, asha, redirect="/#/reports")
    account = await couch.db("_users").get(f"org.couchdb.user:{asha.name}")
    asha.password = NEW
    later = await log_in(strict, asha)

    assert (answer.status, await answer.text()) == (302, "/#/reports")  # AUTH-93
    assert "AuthSession" in set_cookies(answer)
    assert account["password_change_required"] is False
    assert (later.status, await later.text()) == (302, "/")
    assert "AuthSession" in set_cookies(later)


@pytest.mark.parametrize(
    ("members", "answer"),
    [
        ({"password": "short"}, {"error": "password-short", "params": {"minimum": 8}}),
        ({"password": "password", "currentPassword": "wrong"}, {"error": "password-weak"}),
        ({"currentPassword": "wrong"}, {"error": "current-password-incorrect"}),
        ({"username": "nobody-at-all"}, {"error": "current-password-incorrect"}),
        ({"password": "Blue-kite-77"}, {"error": "password-same"}),
        ({"password": None}, {"error": "`password` is required and must be text"}),
        ({"username": {"$gt": ""}}, {"error": "`username` is required and must be text"}),
    ],
)
async def test_a_bad_choice_is_refused_with_its_key(client: Client, make_user: Any, members: Any, answer: Any) -> None:
    asha = await make_user("asha", roles=["chw"], password="Blue-kite-77")
    refused = await reset(client, asha, **members)

    assert (refused.status, await refused.json()) == (400, answer)  # AUTH-93
    assert "Set-Cookie" not in refused.headers


async def test_the_administrators_password_stays(client: Client, config: Config) -> None:
    name, password = config.couch_admin
    body = {"username": name, "currentPassword": password, "password": NEW}
    answer = await client.post("/medic/password-reset", json=body, headers=ANONYMOUS)

    expected = {"error": "Admin passwords must be changed manually in the database"}
    assert (answer.status, await answer.json()) == (400, expected)  # AUTH-24


async def test_without_the_option_nobody_is_asked(client: Client, make_user: Any) -> None:
    asha = await make_user("asha", roles=["chw"], password_change_required=True)
    answer = await log_in(client, asha)

    assert await answer.text() == "/"  # AUTH-92
    assert "AuthSession" in set_cookies(answer)


async def test_a_password_that_an_officer_gave_is_to_be_changed(strict: Client, couch: Couch, config: Config) -> None:
    name = f"neema-{config.database[-6:]}"
    body = {"username": name, "password": NEW, "roles": ["data_entry"]}
    assert (await strict.post("/api/v1/users", json=body)).status == 200
    given = await couch.db("_users").get(f"org.couchdb.user:{name}")
    own = {"password": "Other-boat-34"}
    assert (await strict.post(f"/api/v1/users/{name}", json=own, headers=basic(name, NEW))).status == 200
    chosen = await couch.db("_users").get(f"org.couchdb.user:{name}")
    await couch.db("_users").delete(chosen["_id"], chosen["_rev"])

    assert (given["password_change_required"], chosen["password_change_required"]) == (True, False)  # AUTH-91


async def test_the_page_works_as_a_plain_form(client: Client, make_user: Any) -> None:
    asha = await make_user("asha", roles=["chw"])
    fields = {"username": asha.name, "currentPassword": asha.password, "password": NEW}
    page = await client.get(f"/medic/password-reset?username={asha.name}", headers=ANONYMOUS)
    wrong = await client.post("/medic/password-reset", data={**fields, "password": "weak"}, headers=ANONYMOUS)
    right = await client.post("/medic/password-reset", data=fields, headers=ANONYMOUS, allow_redirects=False)

    assert page.status == 200
    assert f'value="{asha.name}"' in await page.text()
    assert wrong.status == 400
    assert "at least 8 characters" in await wrong.text()
    assert (right.status, right.headers["Location"]) == (303, "/")


async def test_guesses_of_the_current_password_are_slowed_down(client: Client, make_user: Any) -> None:
    asha = await make_user("asha", roles=["chw"])
    statuses = [(await reset(client, asha, currentPassword=f"wrong{n}")).status for n in range(11)]

    assert statuses[0] == 400
    assert_slowed_down(statuses)  # AUTH-101
