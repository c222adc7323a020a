"""What the documented API has and this version does not: an honest 501, behind the same login and permission."""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web

from api.auth import current_user, require, require_any
from api.errors import InsufficientPrivileges
from api.operations import Access, Operation, describe
from core.errors import NotBuilt, NotFound

Allow = Callable[[web.Request], object]

EXPORT_PERMISSIONS = {
    "contacts": "can_export_contacts",
    "dhis": "can_export_dhis",
    "feedback": "can_export_feedback",
    "messages": "can_export_messages",
    "reports": "can_export_messages",
    "user-devices": "can_export_devices_details",
}


def allow_export(request: web.Request) -> None:
    """An online user with can_export_all or the type's own permission (EP-EXP-2, EP-EXP-3)."""
    kind = request.match_info["type"]
    if kind not in EXPORT_PERMISSIONS:
        raise NotFound(f'Invalid export type "{kind}"')
    if current_user(request).offline:
        raise InsufficientPrivileges
    require_any(request, "can_export_all", EXPORT_PERMISSIONS[kind])


def allow_configuration(request: web.Request) -> None:
    require(request, "can_configure")


def not_built(method: str, path: str, allow: Allow, what: str) -> web.RouteDef:
    @describe(Operation(access=Access.ACCOUNT, answers={}, errors=(400, 404, 501), summary=f"{what} not built"))
    async def answer_not_built(request: web.Request) -> web.Response:
        allow(request)
        raise NotBuilt(f"{what} not built in this version")

    return web.route(method, path, answer_not_built)


ROUTES = [
    *(not_built(method, "/api/v2/export/{type}", allow_export, "Exports are") for method in ("GET", "POST")),
    *(
        not_built("POST", f"/api/v1/upgrade{step}", allow_configuration, "Upgrades through the API are")
        for step in ("", "/stage", "/complete")
    ),
]
