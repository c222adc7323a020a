"""The settings: edited as JSON, checked and compared before they are saved; what they were, and putting it back."""

from __future__ import annotations

import asyncio
import difflib
from collections.abc import Iterator, Mapping
from typing import Any

import orjson
from aiohttp import web

from api.console.frame import Form, Page, allow, done, read_form, show
from api.handlers.config_history import history, restore
from api.handlers.settings import write_settings
from api.keys import DB
from api.settings_problems import InvalidSettings, check_settings
from core.errors import Conflict, DomainError, InvalidInput, NotFound
from core.settings import SETTINGS_ID, Settings, with_default_permissions

PAGE = Page("settings", any_of=("can_configure",))
HISTORY = f"{PAGE.path}/history"
CONTEXT_LINES = 3

Line = tuple[str, str]  # kind: same, add, del or gap; and the text


async def show_settings(request: web.Request) -> web.Response:
    """GET /admin/settings: the editor."""
    allow(request, PAGE)
    stored = await stored_settings(request)
    return await show(request, PAGE, "settings.html", text=pretty(stored.values), rev=stored.rev)


async def change_settings(request: web.Request) -> web.Response:
    """POST /admin/settings: check what was edited and show what would change; or save it, as `?overwrite` does.

    `action` is review, save, force (save what cannot work) or edit. What somebody else changed meanwhile is never
    overwritten unseen: the changes are shown again, against theirs.
    """
    allow(request, PAGE)
    sent = await read_form(request)
    if sent.text("action") == "edit":
        return await edit_again(request, sent)
    try:
        values = parsed(sent.text("settings"))
    except InvalidInput as error:
        return await edit_again(request, sent, error)
    if sent.text("action") not in ("save", "force"):
        return await review(request, values)
    try:
        await write_settings(
            request, values, overwrite=True, force=sent.text("action") == "force", rev=sent.text("rev") or None
        )
    except InvalidSettings:
        return await review(request, values)
    except Conflict as error:
        return await review(request, values, {"": "console.settings.conflict"}, status=error.status)
    return done(request, PAGE.path, "console.settings.saved")


async def edit_again(request: web.Request, sent: Form, error: DomainError | None = None) -> web.Response:
    errors = {"settings": error.message} if error else None
    status = error.status if error else 200
    rev, text = sent.text("rev"), sent.text("settings")
    return await show(request, PAGE, "settings.html", text=text, rev=rev, errors=errors, status=status)


async def review(
    request: web.Request, values: Mapping[str, Any], errors: Mapping[str, str] | None = None, *, status: int = 200
) -> web.Response:
    """What would change, and what of it cannot work."""
    stored = await stored_settings(request)
    problems = []
    try:
        check_settings(values, stored.values)
    except InvalidSettings as error:
        problems, status = error.problems, error.status
    return await show(
        request,
        PAGE,
        "settings_review.html",
        status=status,
        errors=errors,
        problems=problems,
        lines=await asyncio.to_thread(lambda: list(changed_lines(stored.values, with_default_permissions(values)))),
        text=pretty(values),
        rev=stored.rev,
    )


# --- history ----------------------------------------------------------------------------------------------------------


async def show_history(request: web.Request) -> web.Response:
    """GET /admin/settings/history: the versions of `/api/v1/config-history/settings`."""
    allow(request, PAGE)
    try:
        versions = await history(request).entries(SETTINGS_ID)
    except NotFound:
        versions = []
    return await show(
        request, PAGE, "settings_history.html", versions=versions, rev=(await stored_settings(request)).rev
    )


async def show_version(request: web.Request) -> web.Response:
    """GET /admin/settings/history/{rev}: how a version differs from the settings in force."""
    allow(request, PAGE)
    rev = request.match_info["rev"]
    then, now = Settings.from_doc(await history(request).body(SETTINGS_ID, rev)), await stored_settings(request)
    lines = await asyncio.to_thread(lambda: list(changed_lines(now.values, then.values)))
    return await show(request, PAGE, "settings_version.html", rev=rev, lines=lines)


async def restore_version(request: web.Request) -> web.Response:
    """POST /admin/settings/history/{rev}: put it back, as `/api/v1/config-history/settings/{rev}/restore`."""
    allow(request, PAGE)
    rev = request.match_info["rev"]
    await restore(request, SETTINGS_ID, rev)
    return done(request, HISTORY, "console.settings.restored", rev=rev)


# --- texts ------------------------------------------------------------------------------------------------------------


async def stored_settings(request: web.Request) -> Settings:
    return Settings.from_doc(await request.config_dict[DB].find(SETTINGS_ID))


def parsed(text: str) -> dict[str, Any]:
    try:
        values = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise InvalidInput(f"This is not JSON: {error}") from error
    if not isinstance(values, dict):
        raise InvalidInput("Settings must be an object")
    return values


def pretty(values: Mapping[str, Any]) -> str:
    return orjson.dumps(values, option=orjson.OPT_INDENT_2).decode()


def changed_lines(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Line]:
    """The lines that differ, with some around them; nothing when none does."""
    kinds = {"+": "add", "-": "del", " ": "same"}
    unified = difflib.unified_diff(
        pretty(before).splitlines(), pretty(after).splitlines(), n=CONTEXT_LINES, lineterm=""
    )
    for number, line in enumerate(unified):
        if number < 2:
            continue  # names of files
        if line.startswith("@@"):
            if number > 2:
                yield "gap", ""
        else:
            yield kinds[line[0]], line[1:]


ROUTES = [
    web.get(PAGE.path, show_settings),
    web.post(PAGE.path, change_settings),
    web.get(HISTORY, show_history),
    web.get(f"{HISTORY}/{{rev}}", show_version),
    web.post(f"{HISTORY}/{{rev}}", restore_version),
]
