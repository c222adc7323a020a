"""Each user's own meta database: read receipts, feedback, telemetry (AUTH-140..143)."""

from __future__ import annotations

import re
from collections.abc import Collection
from functools import cache
from urllib.parse import unquote

from aiohttp import web

from api.auth import current_user
from api.errors import InsufficientPrivileges
from api.handlers.storage import serve_storage
from api.keys import CONFIG, COUCH
from api.responses import json_response
from core.couch.client import Doc
from core.couch.ddocs import install, load_bundle

NOT_IN_A_DATABASE_NAME = re.compile(r"[^a-z0-9_$()+/-]")


async def create_meta_database(request: web.Request) -> web.StreamResponse:
    """PUT /<db>-user-<name>-meta/: make the caller's own meta database, or leave it as it is.

    Only its owner may read and write it. 403 for another user's.
    """
    database = request.config_dict[CONFIG].database
    name = unquote(request.rel_url.raw_path.strip("/"))
    if not (name.startswith(f"{database}-user-") and name.endswith("-meta")):
        return await serve_storage(request)
    user = current_user(request)
    if name != meta_database(database, user.name):
        raise InsufficientPrivileges
    owner = {"names": [user.name], "roles": []}
    db = request.config_dict[COUCH].db(name)
    # One that was made may lack its owner: of another request that is about to name it, or was cut off before it did.
    if await db.create() or user.name not in named_members(await db.request("GET", "/_security")):
        await db.request("PUT", "/_security", body={"admins": owner, "members": owner})
    await install(db, ddocs())
    return json_response({"ok": True})


def named_members(security: Doc) -> Collection[str]:
    return (security.get("members") or {}).get("names") or ()


@cache
def ddocs() -> list[Doc]:
    return load_bundle()["user-meta"]


def meta_database(database: str, user_name: str) -> str:
    """The name of a user's meta database; what CouchDB forbids in names is written as `(<UTF-16 code>)` (AUTH-140)."""
    return f"{database}-user-{NOT_IN_A_DATABASE_NAME.sub(lambda found: escaped(found[0]), user_name)}-meta"


def escaped(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"({int.from_bytes(units[at : at + 2])})" for at in range(0, len(units), 2))


ROUTES = [web.put("/{database:[^/]+}/", create_meta_database)]
