"""Roles and permissions at the endpoints (10 §5), and what is documented but not built."""

from __future__ import annotations

from typing import Any

import pytest
from aiohttp.test_utils import TestClient

from core.couch.client import Database
from core.settings import Settings

Client = TestClient[Any, Any]
JSON = {"Accept": "application/json"}
ANONYMOUS = {"Authorization": "", **JSON}
FIREWALL = {
    "code": 403,
    "error": "forbidden",
    "details": "Offline users are not allowed access to this endpoint",
}
REFUSED = {"code": 403, "error": "Insufficient privileges"}


@pytest.mark.parametrize(
    ("roles", "online"),
    [
        (["national_admin"], True),
        (["foo"], False),
        (["foo", "mm-online"], True),
        (["chw"], False),
        (["data_entry"], True),
        (["chw", "data_entry"], False),
        ([], False),
    ],
)
async def test_roles_decide_who_is_online(client: Client, make_user: Any, roles: list[str], online: bool) -> None:
    caller = await make_user("caller", roles=roles)
    answer = await client.get("/api/v1/unknown", headers={**caller, **JSON})

    assert answer.status == (404 if online else 403)  # PERM-6, PERM-7, 10 §10 check 5


@pytest.mark.parametrize(
    ("method", "path", "roles", "refusal"),
    [
        ("GET", "/api/v2/export/contacts", ["data_entry"], REFUSED),  # EP-EXP-3
        ("GET", "/api/v2/export/contacts", ["chw"], REFUSED),
        ("POST", "/api/v1/upgrade", ["chw"], REFUSED),
    ],
)
async def test_what_a_role_may_not_do_is_refused(
    client: Client, make_user: Any, method: str, path: str, roles: list[str], refusal: dict[str, Any]
) -> None:
    caller = await make_user("caller", roles=roles)
    answer = await client.request(method, path, headers={**caller, **JSON})

    assert (answer.status, await answer.json()) == (403, refusal)


async def test_each_export_has_a_permission_of_its_own(client: Client, make_user: Any) -> None:
    admin = await make_user("admin", roles=["national_admin"])  # in can_export_dhis, as in the other defaults
    settings = {"permissions": {"can_export_all": [], "can_export_messages": []}}
    assert (await client.put("/api/v1/settings?replace=true", json=settings)).status == 200
    answers = [await client.get(f"/api/v2/export/{kind}", headers={**admin, **JSON}) for kind in ("dhis", "reports")]

    assert [answer.status for answer in answers] == [400, 403]  # DIV-9: `dataSet` is missing, not the permission


async def test_an_unknown_export_is_404_before_any_login(client: Client) -> None:
    answer = await client.get("/api/v2/export/nonsense", headers={"Authorization": ""})

    assert (answer.status, await answer.text()) == (404, 'Invalid export type "nonsense"')  # EP-EXP-2


ROLES = {"nurse": {"name": "Nurse"}, "guide": {"name": "Guide", "offline": True}}
PERMITTED = Settings({"roles": ROLES, "permissions": {"can_sing": ["nurse", "stranger"], "can_odd": "nurse"}})


@pytest.mark.parametrize(
    ("roles", "permission", "held"),
    [
        (["nurse"], "can_sing", True),  # PERM-2
        (["guide", "nurse"], "can_sing", True),
        (["guide"], "can_sing", False),
        ([], "can_sing", False),
        (["nurse"], "can_unheard_of", False),
        (["nurse"], "can_odd", False),
        (["_admin"], "can_unheard_of", True),  # PERM-3
        (["admin"], "can_sing", False),
        (["stranger"], "can_sing", True),  # PERM-4: a role that is not configured counts
        (["guide"], "!can_sing", True),  # PERM-5
        (["nurse"], "!can_sing", False),
        (["_admin"], "!can_sing", False),
        (["nurse", "guide", "nurse"], "can_sing", True),  # PERM-9
    ],
)
def test_roles_hold_the_permissions_that_list_them(roles: list[str], permission: str, held: bool) -> None:
    assert PERMITTED.has_permission(roles, permission) is held


@pytest.mark.parametrize(
    ("roles", "offline"),
    [(["nurse"], False), (["guide"], True), (["nurse", "guide"], True), (["guide", "nurse", "guide"], True)],
)
def test_configured_roles_are_offline_where_they_say_so(roles: list[str], offline: bool) -> None:
    assert PERMITTED.is_offline(roles) is offline  # PERM-1, PERM-9


async def test_routing_is_strict_about_trailing_slashes(client: Client) -> None:
    assert (await client.get("/api/v1/settings")).status == 200
    assert (await client.get("/api/v1/settings/")).status == 404  # AUTH-13


async def test_deploy_info_is_for_any_account(client: Client, make_user: Any) -> None:
    chw = await make_user("chw", roles=["chw"])
    answer = await client.get("/api/deploy-info", headers=chw)
    anonymous = await client.get("/api/deploy-info", headers=ANONYMOUS)

    assert answer.status == 200  # AUTH-130
    assert (await answer.json())["version"].startswith("5.0.0+")  # CONF-7, DDOC-3
    assert anonymous.status == 401


async def test_deploy_info_tells_a_new_version_at_once(client: Client, db: Database) -> None:
    before = await (await client.get("/api/deploy-info")).json()
    deployed = {"build_info": {"version": "9.9.9"}, "deploy_info": {"user": "admin", "timestamp": 7}}
    await db.update("_design/medic", lambda ddoc: {**(ddoc or {}), **deployed})
    after = [await (await client.get("/api/deploy-info")).json() for _ in range(2)]

    assert before["version"] != "9.9.9"
    assert [(each["version"], each["user"], each["timestamp"]) for each in after] == [("9.9.9", "admin", 7)] * 2
