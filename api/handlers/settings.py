"""The settings document, read and written whole, in part, or merged (EP-SET-1..11)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any, Self, TypedDict
from urllib.parse import quote

import orjson
from aiohttp import web

from api.auth import current_user, holds, user_or_prompt
from api.errors import InsufficientPrivileges
from api.keys import DB, REQUEST_SETTINGS, SETTINGS
from api.operations import Access, Operation, describe
from api.params import Flag, read_json, require_json
from api.responses import JSON_TYPE, SMALLEST_COMPRESSED_BYTES, gzip, json_response, takes_gzip
from api.settings_problems import InvalidSettings, check_settings, deprecated_transitions
from core.couch.client import Doc
from core.errors import Conflict, InvalidInput
from core.settings import SETTINGS_ID, Settings, with_default_permissions

OVERWRITE = Flag(name="overwrite", about="the body replaces all settings")
REPLACE = Flag(name="replace", about="each top-level member of the body replaces the stored one")
FORCE = Flag(name="force", about="settings are stored although they cannot work")


class SettingsWritten(TypedDict):
    success: bool
    upgraded: bool
    updated: bool


@describe(Operation(access=Access.ACCOUNT, answers={200: dict[str, Any], 304: None}))
async def get_settings(request: web.Request) -> web.Response:
    """GET /api/v1/settings: the settings, `{}` when there are none. Any account; 401 asks for Basic credentials.

    304 for an `If-None-Match` with the `ETag` of the answer before. From memory: what another process wrote is here
    within moments, when the feed has brought it.
    """
    user_or_prompt(request)
    ready = request.config_dict[READY].of(request[REQUEST_SETTINGS])
    headers = {"ETag": f'"{ready.rev}"'} if ready.rev else {}
    if ready.rev and any(each.value in (ready.rev, "*") for each in request.if_none_match or ()):
        return web.Response(status=304, headers=headers)
    headers |= {"Content-Type": JSON_TYPE, "Vary": "Accept-Encoding"}
    if ready.zipped and takes_gzip(request):
        return web.Response(body=ready.zipped, headers={**headers, "Content-Encoding": "gzip"})
    return web.Response(body=ready.plain, headers=headers)


@dataclass(frozen=True)
class ReadySettings:
    """The settings as they are sent, plain and gzipped (empty: not worth it), of one snapshot."""

    settings: Settings
    plain: bytes
    zipped: bytes

    @property
    def rev(self) -> str | None:
        return self.settings.rev

    @classmethod
    def make(cls, settings: Settings) -> Self:
        plain = orjson.dumps(settings.values)
        return cls(settings, plain, gzip(plain) if len(plain) >= SMALLEST_COMPRESSED_BYTES else b"")


class LastReady:
    """The bytes of the snapshot that was asked for last: made once for each revision."""

    def __init__(self) -> None:
        self.ready = ReadySettings.make(Settings())

    def of(self, settings: Settings) -> ReadySettings:
        if self.ready.settings is not settings:
            self.ready = ReadySettings.make(settings)
        return self.ready


READY = web.AppKey("ready_settings", LastReady)


async def open_ready_settings(app: web.Application) -> AsyncIterator[None]:
    app[READY] = LastReady()
    yield


@describe(
    Operation(
        access=Access.ACCOUNT,
        permissions=("can_configure",),
        query=(OVERWRITE, REPLACE, FORCE),
        body=dict[str, Any],
        answers={200: SettingsWritten},
        errors=(409,),
    )
)
async def put_settings(request: web.Request) -> web.Response:
    """PUT /api/v1/settings: merge the body into the settings, and say whether that changed them.

    ?replace: each top-level member replaces the stored one. ?overwrite: the body replaces everything. The built-in
    permissions that are missing are always filled in. Permission: can_configure. 409 when another write came between.
    400 `{"success": false, "error", "details": [{path, expected}]}` for settings that cannot work, unless ?force.
    """
    require_json(request)
    user = current_user(request)
    if not holds(request, user, "can_configure"):
        raise InsufficientPrivileges("Insufficient permissions")
    overwrite, replace, force = OVERWRITE.read(request), REPLACE.read(request), FORCE.read(request)
    body = await read_json(request)
    if not isinstance(body, dict):
        raise InvalidInput("Settings must be an object")

    try:
        updated = await write_settings(request, body, overwrite=overwrite, replace=replace, force=force)
    except InvalidSettings as error:
        return json_response({"success": False, "error": error.message, "details": error.problems}, status=400)
    return json_response({"success": True, "upgraded": updated, "updated": updated})


async def write_settings(
    request: web.Request,
    body: Mapping[str, Any],
    *,
    overwrite: bool,
    replace: bool = False,
    force: bool = False,
    rev: str | None = None,
) -> bool:
    """Change the settings; whether they are different now. InvalidSettings, Conflict.

    With `rev`, Conflict unless the settings are those of that revision.
    """

    def change(doc: Doc | None) -> Doc | None:
        if rev is not None and (doc or {}).get("_rev") != rev:
            raise Conflict("The settings have been changed by somebody else.")
        stored = Settings.from_doc(doc).values
        asked = changed(stored, body, overwrite=overwrite, replace=replace)
        if not force:
            check_settings(asked, stored)
        values = with_default_permissions(asked)
        if doc is not None and values == doc.get("settings"):
            return None
        return {**(doc or {}), "settings": values}

    written = await request.config_dict[DB].update(SETTINGS_ID, change, attempts=1 if overwrite else 4)
    if written is not None:
        await request.config_dict[SETTINGS].reload()
    return written is not None


def changed(stored: Mapping[str, Any], body: Mapping[str, Any], *, overwrite: bool, replace: bool) -> dict[str, Any]:
    """The settings after the body was applied; `overwrite` wins over `replace` (EP-SET-3..5)."""
    if overwrite:
        return dict(body)
    return {**stored, **body} if replace else merged(stored, body)


def merged(stored: Any, body: Any) -> Any:
    """Objects merge member by member; anything else replaces what was there (EP-SET-5)."""
    if not isinstance(body, Mapping):
        return body
    base = stored if isinstance(stored, Mapping) else {}
    return {**base, **{name: merged(base.get(name), value) for name, value in body.items()}}


@describe(Operation(access=Access.ACCOUNT, answers={200: list[dict[str, Any]]}))
async def get_deprecated_transitions(request: web.Request) -> web.Response:
    """GET /api/v1/settings/deprecated-transitions: `[{name, deprecated, deprecatedIn, deprecationMessage}]`.

    Of those that are enabled. Any account.
    """
    current_user(request)
    return json_response(deprecated_transitions(request[REQUEST_SETTINGS].values))


async def get_app_settings(request: web.Request) -> web.Response:
    """GET /<db>/_design/medic/_rewrite/app_settings/medic: `{settings, meta, schema}`, as the command line reads it.

    A dotted path behind it chooses a member, `{}` when there is none. Any account.
    """
    current_user(request)
    doc = await request.config_dict[DB].find(SETTINGS_ID)
    value: Any = Settings.from_doc(doc).values
    for name in request.match_info.get("path", "").split(".") if request.match_info.get("path") else ():
        value = value.get(name, {}) if isinstance(value, Mapping) else {}
    return json_response({"settings": value, "meta": {}, "schema": {}})


ROUTES = [
    web.get("/api/v1/settings", get_settings),
    web.put("/api/v1/settings", put_settings),
    web.get("/api/v1/settings/deprecated-transitions", get_deprecated_transitions),
]


def routes(database: str) -> list[web.RouteDef]:
    """The paths the configuring command line uses; `/medic` stands for the main database (10 AUTH-134)."""
    at = f"/{quote(database, safe='')}/_design/medic/_rewrite"
    return [
        web.get(f"{at}/app_settings/medic", get_app_settings),
        web.get(f"{at}/app_settings/medic/{{path:[^/]*}}", get_app_settings),
        web.put(f"{at}/update_settings/medic", put_settings),
    ]
