"""Keys of shared devices for OpenRosa, made and revoked by who manages accounts (50 OR-42)."""

from __future__ import annotations

from typing import Any, NotRequired, TypedDict

from aiohttp import web

from api.auth import require
from api.bodies import now_ms, read_filled_json
from api.forwarded import origin
from api.keys import COUCH
from api.openrosa import vault
from api.operations import Access, Operation, describe
from api.params import require_json
from api.responses import json_response
from core.device_keys import list_keys, make_key, revoke_key
from core.errors import InvalidInput, NotFound
from core.users import user_id

LONGEST_LABEL = 200


class NewDeviceKey(TypedDict):
    username: str
    label: NotRequired[str]


class DeviceKey(TypedDict):
    """`created` in ms."""

    id: str
    username: str
    label: str
    created: int


class MadeDeviceKey(DeviceKey):
    """`key` and `url`, which holds it, are told only now."""

    key: str
    url: str


class Revoked(TypedDict):
    ok: bool


@describe(
    Operation(
        access=Access.ACCOUNT,
        permissions=("can_update_users",),
        body=NewDeviceKey,
        answers={201: MadeDeviceKey},
        errors=(404,),
    )
)
async def post_key(request: web.Request) -> web.Response:
    """POST /api/v1/openrosa-keys with `username` and perhaps a `label`: an address by which a device is that account.

    The device needs no password; whoever has the address can submit forms as the account until it is revoked.
    Permission: can_update_users.
    """
    require(request, "can_update_users")
    require_json(request)
    body = await read_filled_json(request)
    username = body.get("username") if isinstance(body, dict) else None
    label = body.get("label", "") if isinstance(body, dict) else ""
    if not isinstance(username, str) or not username:
        raise InvalidInput("username: must be the name of an account")
    if not isinstance(label, str) or len(label) > LONGEST_LABEL:
        raise InvalidInput(f"label: must be a text of at most {LONGEST_LABEL} characters")
    if await request.config_dict[COUCH].db("_users").find(user_id(username)) is None:
        raise NotFound(f"There is no account {username[:80]}")
    key, kept = await make_key(vault(request), username, label, now_ms())
    return json_response({**kept, "key": key, "url": f"{origin(request)}/openrosa/key/{key}"}, status=201)


@describe(Operation(access=Access.ACCOUNT, permissions=("can_update_users",), answers={200: list[DeviceKey]}))
async def get_keys(request: web.Request) -> web.Response:
    """GET /api/v1/openrosa-keys: the keys of devices, the newest first. Permission: can_update_users."""
    require(request, "can_update_users")
    return json_response(await list_keys(vault(request)))


@describe(Operation(access=Access.ACCOUNT, permissions=("can_update_users",), answers={200: Revoked}, errors=(404,)))
async def delete_key(request: web.Request) -> web.Response:
    """DELETE /api/v1/openrosa-keys/{id}: the device's address works no more. Permission: can_update_users."""
    require(request, "can_update_users")
    await revoke_key(vault(request), request.match_info["id"])
    return json_response({"ok": True})


ROUTES: list[Any] = [
    web.post("/api/v1/openrosa-keys", post_key),
    web.get("/api/v1/openrosa-keys", get_keys),
    web.delete("/api/v1/openrosa-keys/{id}", delete_key),
]
