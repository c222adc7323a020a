"""What the documented API has and this version does not: an honest 501, behind the same login and permission."""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web

from api.auth import require
from api.operations import Access, Operation, describe
from core.errors import NotBuilt

Allow = Callable[[web.Request], object]


def allow_configuration(request: web.Request) -> None:
    require(request, "can_configure")


def not_built(method: str, path: str, allow: Allow, what: str) -> web.RouteDef:
    @describe(Operation(access=Access.ACCOUNT, answers={}, errors=(400, 404, 501), summary=f"{what} not built"))
    async def answer_not_built(request: web.Request) -> web.Response:
        allow(request)
        raise NotBuilt(f"{what} not built in this version")

    return web.route(method, path, answer_not_built)


ROUTES = [
    *(
        not_built("POST", f"/api/v1/upgrade{step}", allow_configuration, "Upgrades through the API are")
        for step in ("", "/stage", "/complete")
    ),
]
