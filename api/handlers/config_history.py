"""What settings and forms were before, and putting it back (65 CONF-83)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, TypedDict

from aiohttp import web

from api.auth import require
from api.infodocs import note_writes
from api.keys import DB, SETTINGS
from api.operations import Access, Operation, describe
from api.responses import json_response
from core.config_history import ConfigHistory


class KeptBody(TypedDict):
    rev: str
    date: str


class Restored(TypedDict):
    ok: bool
    id: str
    rev: str


@describe(
    Operation(access=Access.ACCOUNT, permissions=("can_configure",), answers={200: list[KeptBody]}, errors=(404,))
)
async def get_history(request: web.Request) -> web.Response:
    """GET /api/v1/config-history/{id}: `[{rev, date}]` of the document `settings` or a form, the newest first.

    Permission: can_configure.
    """
    require(request, "can_configure")
    return json_response(await history(request).entries(request.match_info["id"]))


@describe(
    Operation(access=Access.ACCOUNT, permissions=("can_configure",), answers={200: dict[str, Any]}, errors=(400, 404))
)
async def get_body(request: web.Request) -> web.Response:
    """GET /api/v1/config-history/{id}/{rev}: the document as it was. Permission: can_configure."""
    require(request, "can_configure")
    return json_response(await history(request).body(request.match_info["id"], request.match_info["rev"]))


@describe(
    Operation(access=Access.ACCOUNT, permissions=("can_configure",), answers={200: Restored}, errors=(400, 404, 409))
)
async def restore_body(request: web.Request) -> web.Response:
    """POST /api/v1/config-history/{id}/{rev}/restore: write it again, with its attachments; `{ok, id, rev}`.

    Permission: can_configure.
    """
    require(request, "can_configure")
    doc_id = request.match_info["id"]
    rev = await restore(request, doc_id, request.match_info["rev"])
    return json_response({"ok": True, "id": doc_id, "rev": rev})


async def restore(request: web.Request, doc_id: str, rev: str) -> str:
    """Write a body again; its new rev."""
    new_rev = await history(request).restore(doc_id, rev)
    note_writes(request, (doc_id,))
    await request.config_dict[SETTINGS].reload()
    return new_rev


def history(request: web.Request) -> ConfigHistory:
    return ConfigHistory(request.config_dict[DB], lambda: datetime.now(UTC))


ROUTES: list[Any] = [
    web.get("/api/v1/config-history/{id}", get_history),
    web.get("/api/v1/config-history/{id}/{rev}", get_body),
    web.post("/api/v1/config-history/{id}/{rev}/restore", restore_body),
]
