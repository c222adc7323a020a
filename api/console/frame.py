"""What every page of the console stands in: who may see it, its template, its forms, what it says after an action."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Collection, Coroutine, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any
from urllib.parse import quote, unquote

import orjson
from aiohttp import web
from markupsafe import Markup

from api.auth import holds, require_any, require_online
from api.console.texts import texts_and_branding
from api.errors import Handler, OfflineFirewall
from api.keys import USER
from api.login_page import PAGE_HEADERS, asset_bytes, templates
from api.login_session import page as database_page
from api.login_session import refuse_other_sites
from api.pipeline import UNFINISHED, finished
from api.responses import prefers_json
from api.sessions import User
from core.errors import DomainError, InvalidInput, TooLarge, Unauthorized

log = logging.getLogger(__name__)

FLASH = "console_flash"
FLASH_S = 60


@dataclass(frozen=True)
class Page:
    """An entry of the navigation: its address is `/admin/<name>`, its title the text `console.<name>.title`.

    Online users see it who hold one of the permissions, those of the API that it calls; all where it lists none.
    """

    name: str
    any_of: tuple[str, ...] = ()

    @property
    def path(self) -> str:
        return f"/admin/{self.name}"

    def is_for(self, request: web.Request, user: User) -> bool:
        return not self.any_of or any(holds(request, user, each) for each in self.any_of)


# In the order of the navigation.
PAGES: web.AppKey[tuple[Page, ...]] = web.AppKey("console_pages")


def allow(request: web.Request, page: Page) -> User:
    """The caller, who may see the page; the first step of every handler of the console."""
    user = require_online(request)
    return require_any(request, *page.any_of) if page.any_of else user


async def show(
    request: web.Request,
    page: Page | None,
    template: str,
    *,
    status: int = 200,
    errors: Mapping[str, str] | None = None,
    **values: Any,
) -> web.Response:
    """A page of the console. Templates see what is passed here, and `t`, `page`, `user`, `may(permission)`.

    `errors` are told at the top and beside their fields, by the field's name; under "" those of the whole form. They
    are texts or keys of texts.
    """
    texts, branding = await texts_and_branding(request)
    user = request[USER]
    assert user is not None  # allow() came first
    text = pages.get_template(f"console/{template}").render(
        t=texts,
        branding=branding,
        page=page,
        pages=[each for each in request.config_dict[PAGES] if each.is_for(request, user)],
        user=user,
        may=lambda permission: holds(request, user, permission),
        errors={name: texts(told, told) for name, told in (errors or {}).items()},
        flash=flash_of(request),
        here=str(request.rel_url),
        logout=database_page(request, "logout"),
        assets=assets_version(),
        **values,
    )
    response = web.Response(text=text, status=status, content_type="text/html", headers=PAGE_HEADERS)
    if FLASH in request.cookies:
        response.del_cookie(FLASH, path="/admin")
    return response


def as_page(handler: Handler) -> Handler:
    """The handler with its forms taken from this server's own pages only, and its failures told as a page."""

    async def answer(request: web.Request) -> web.StreamResponse:
        try:
            if request.method == "POST":
                refuse_other_sites(request)
            return await handler(request)
        except (Unauthorized, OfflineFirewall):
            raise
        except DomainError as error:
            if prefers_json(request) or request[USER] is None:
                raise
            return await show(request, None, "error.html", status=error.status, message=error.message)

    answer.__doc__ = handler.__doc__
    answer.__name__ = getattr(handler, "__name__", "page")
    return answer


def console_routes(routes: Collection[web.RouteDef]) -> list[web.RouteDef]:
    return [web.RouteDef(each.method, each.path, as_page(each.handler), each.kwargs) for each in routes]


# --- forms -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Form:
    """What a form sent: texts by name, and the files that were chosen."""

    texts: Mapping[str, list[str]]
    files: Mapping[str, web.FileField]

    def text(self, name: str) -> str:
        """Without spaces around it."""
        return self.raw(name).strip()

    def raw(self, name: str) -> str:
        """As it was typed: a password."""
        return next(iter(self.texts.get(name, ())), "")

    def all(self, name: str) -> list[str]:
        """Every filled value of a field that may be repeated, as checkboxes are."""
        return [each.strip() for each in self.texts.get(name, ()) if each.strip()]

    def has(self, name: str) -> bool:
        return bool(self.text(name))


def go_on(request: web.Request, work: Coroutine[Any, Any, Any]) -> None:
    """Let work run after the answer; when the server stops it gets the same last moment as unfinished writes."""

    async def logged() -> None:
        try:
            await work
        except Exception:
            log.exception("work that followed the answer to %s %s failed", request.method, request.path)

    task = asyncio.ensure_future(logged())
    unfinished = request.config_dict[UNFINISHED]
    unfinished.add(task)
    task.add_done_callback(lambda done: finished(unfinished, done))


async def read_form(request: web.Request) -> Form:
    """The fields of a POST. `action` tells which of the page's forms it was. TooLarge; InvalidInput."""
    try:
        sent = await request.post()
    except web.HTTPRequestEntityTooLarge as error:
        raise TooLarge(f"What a form sends must not be larger than {request.client_max_size >> 20} MiB") from error
    except (ValueError, AssertionError, LookupError) as error:
        raise InvalidInput(f"What the form sent cannot be read: {error}") from error
    texts: dict[str, list[str]] = {}
    files = {}
    for name, value in sent.items():
        if isinstance(value, str):
            texts.setdefault(name, []).append(value.replace("\r\n", "\n"))
        elif isinstance(value, web.FileField) and value.filename:
            files[name] = value
    return Form(texts, files)


def errors_by_field(error: DomainError, fields: Collection[str]) -> dict[str, str]:
    """A refusal under the fields that are missing, or the first that it names; under "" where it names none."""
    key, params = error.details.get("translationKey", ""), error.details.get("translationParams", {})
    missing = str(params.get("fields", ""))
    text = missing or f"{error.message} {key}"
    named = sorted((text.find(name), name) for name in fields if name in text)
    return {name: error.message for _, name in (named if missing else named[:1])} or {"": error.message}


def done(request: web.Request, path: str, key: str, *, kind: str = "good", **values: Any) -> web.Response:
    """After an action: back to a page, which says the text of `key` once. `kind` is good, warn or bad."""
    response = web.Response(status=303, headers={"Location": path})
    told = quote(orjson.dumps([kind, key, {name: str(value) for name, value in values.items()}]), safe="")
    response.set_cookie(FLASH, told, path="/admin", max_age=FLASH_S, httponly=True, samesite="Strict")
    return response


def flash_of(request: web.Request) -> tuple[str, str, dict[str, str]] | None:
    try:
        kind, key, values = orjson.loads(unquote(request.cookies.get(FLASH, "")))
    except ValueError:
        return None
    if kind not in ("good", "warn", "bad") or not isinstance(key, str) or not isinstance(values, dict):
        return None
    return kind, key, values


# --- templates -------------------------------------------------------------------------------------------------------


def when(moment: datetime | int | float | str | None) -> str:
    """A moment as the browser may show it in the reader's own time; milliseconds, ISO 8601 or a datetime."""
    if moment is None or moment == "":
        return ""
    try:
        if isinstance(moment, str):
            moment = datetime.fromisoformat(moment)
        elif not isinstance(moment, datetime):
            moment = datetime.fromtimestamp(moment / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return str(moment)
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    return Markup('<time datetime="{}">{:%Y-%m-%d %H:%M} UTC</time>').format(moment.isoformat(), moment)


pages = templates.overlay()
pages.filters = {**templates.filters, "when": when}


@cache
def assets_version() -> str:
    """Changes with the stylesheet and the script, so that no browser keeps old ones after an upgrade."""
    return hashlib.sha256(asset_bytes("console.css") + asset_bytes("console.js")).hexdigest()[:12]
