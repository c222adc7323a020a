"""Each user's own meta database (10 §9)."""

from __future__ import annotations

from typing import Any

import pytest
from aiohttp.test_utils import TestClient

from api.handlers.meta import meta_database
from core.config import Config
from core.couch.client import Couch

Client = TestClient[Any, Any]
JSON = {"Accept": "application/json"}


@pytest.mark.parametrize(
    ("user", "name"),
    [
        ("asha", "medic-user-asha-meta"),
        ("asha.o@x", "medic-user-asha(46)o(64)x-meta"),
        ("Asha", "medic-user-(65)sha-meta"),
        ("a_b$(c)+d-e/f", "medic-user-a_b$(c)+d-e/f-meta"),
        ("é", "medic-user-(233)-meta"),
        ("\U0001f600", "medic-user-(55357)(56832)-meta"),
    ],
)
def test_characters_couchdb_forbids_are_written_as_their_codes(user: str, name: str) -> None:  # AUTH-140
    assert meta_database("medic", user) == name


async def test_an_offline_user_makes_the_own_database_once_and_again(
    client: Client, make_user: Any, couch: Couch, config: Config
) -> None:
    asha = await make_user("asha", roles=["chw"])
    path = f"/medic-user-{asha.name}-meta"
    first = await client.put(f"{path}/", headers=asha)
    second = await client.put(f"{path}/", headers=asha)

    assert (first.status, await first.json()) == (200, {"ok": True})  # AUTH-141, EP-OTH-9
    assert (second.status, await second.json()) == (200, {"ok": True})
    meta = couch.db(meta_database(config.database, asha.name))
    owner = {"names": [asha.name], "roles": []}
    security = await meta.request("GET", "/_security")
    assert {group: security[group]["names"] for group in ("admins", "members")} == dict.fromkeys(
        ("admins", "members"), owner["names"]
    )
    assert (await client.put(f"{path}/read:report:r1", json={}, headers=asha)).status == 201  # passes to storage
    rows = await (await client.get(f"{path}/_design/medic-user/_view/read?group=true", headers=asha)).json()
    assert rows == {"rows": [{"key": "report", "value": 1}]}  # AUTH-143


async def test_a_database_that_was_left_without_its_owner_gets_it(
    client: Client, make_user: Any, couch: Couch, config: Config
) -> None:
    asha = await make_user("asha", roles=["chw"])
    await couch.db(meta_database(config.database, asha.name)).create()  # and no more of it
    made = await client.put(f"/medic-user-{asha.name}-meta/", headers=asha)
    written = await client.put(f"/medic-user-{asha.name}-meta/read:report:r1", json={}, headers=asha)

    assert (made.status, written.status) == (200, 201)  # AUTH-141


async def test_another_users_database_is_not_made(client: Client, make_user: Any, couch: Couch, config: Config) -> None:
    asha, juma = await make_user("asha", roles=["chw"]), await make_user("juma", roles=["data_entry"])
    for login in (asha, juma):
        answer = await client.put("/medic-user-somebody-meta/", headers={**login, **JSON})
        assert (answer.status, (await answer.json())["error"]) == (403, "Insufficient privileges")  # AUTH-142

    assert f"{config.database}-user-somebody-meta" not in await couch.all_dbs()


async def test_another_users_database_is_not_read(client: Client, make_user: Any) -> None:
    asha, juma = await make_user("asha", roles=["chw"]), await make_user("juma", roles=["chw"])
    await client.put(f"/medic-user-{asha.name}-meta/", headers=asha)
    answer = await client.get(f"/medic-user-{asha.name}-meta/_all_docs", headers={**juma, **JSON})

    assert (answer.status, (await answer.json())["error"]) == (403, "forbidden")  # PROXY-41


async def test_without_the_slash_an_offline_user_meets_the_firewall(client: Client, make_user: Any) -> None:
    asha = await make_user("asha", roles=["chw"])
    answer = await client.put(f"/medic-user-{asha.name}-meta", headers=asha)

    assert (answer.status, (await answer.json())["details"]) == (
        403,
        "Offline users are not allowed access to this endpoint",
    )  # AUTH-142


async def test_nobody_makes_no_database(client: Client) -> None:
    answer = await client.put("/medic-user-x-meta/", headers={"Authorization": "", **JSON})

    assert answer.status == 401
