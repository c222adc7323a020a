"""Secrets of other services, which go in and never come out (EP-OTH-1, AGG-8)."""

from __future__ import annotations

from typing import TypedDict

from aiohttp import web

from api.auth import require_online
from api.errors import InsufficientPrivileges
from api.keys import CONFIG, COUCH
from api.operations import Access, Operation, describe
from api.responses import json_response
from core.credentials import store_credential
from core.errors import InvalidInput


class CredentialStored(TypedDict):
    ok: bool


@describe(Operation(access=Access.ADMIN, body={"text/plain": str}, answers={200: CredentialStored}, errors=(409,)))
async def put_credential(request: web.Request) -> web.Response:
    """PUT /api/v1/credentials/{key}: keep the body, a text, as the secret of that name. Server administrators only."""
    user = require_online(request)
    if not user.is_admin:
        raise InsufficientPrivileges("Insufficient permissions")
    body = await request.read()
    if not body:
        raise InvalidInput("Missing required request body")
    try:
        secret = body.decode()
    except UnicodeDecodeError:
        raise InvalidInput("The request body must be text in UTF-8") from None
    vault = request.config_dict[COUCH].db(request.config_dict[CONFIG].db_name("vault"))
    await store_credential(vault, request.match_info["key"], secret)
    return json_response({"ok": True})


ROUTES = [web.put("/api/v1/credentials/{key}", put_credential)]
