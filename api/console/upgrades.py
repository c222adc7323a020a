"""Upgrades: the builds there are, what one would change, its way from state to state, watched to its end."""

from __future__ import annotations

import time
from typing import Any

from aiohttp import web

from api.console.frame import Page, allow, done, read_form, show
from api.handlers.upgrades import PERMISSIONS, upgrades
from api.keys import CONFIG
from core.errors import DomainError, InvalidInput
from core.upgrades.builds import APPLICATION, NAMESPACE
from core.upgrades.log import FINAL, MESSAGES, is_waiting
from core.upgrades.service import Upgrades

PAGE = Page("upgrades", any_of=PERMISSIONS)
REPLACED_WITHIN_S = 120  # of processes after the end; later it is not waited for on the page
MEGABYTE = 2**20


async def show_upgrades(request: web.Request) -> web.Response:
    """GET /admin/upgrades?build: the upgrade that goes on or was the last, the builds, and what one would change."""
    allow(request, PAGE)
    return await show_page(request, request.query.get("build", ""))


async def show_page(request: web.Request, version: str, error: DomainError | None = None) -> web.Response:
    service = upgrades(request)
    status = await service.status()
    log = await service.logs.latest()
    builds, plan, problem = await looked_at(service, version)
    errors = [each.message for each in (error, problem) if each is not None]
    return await show(
        request,
        PAGE,
        "upgrades.html",
        log=log,
        going_on=log is not None and log["state"] not in FINAL,
        waits=log is not None and is_waiting(log),
        changes_yet=log is not None and may_change(log, supervised=request.config_dict[CONFIG].supervised),
        states=MESSAGES,
        indexers=status["indexers"],
        builds=builds,
        builds_url=status["buildsUrl"],
        plan=plan,
        size=lambda count: f"{count / MEGABYTE:.1f} MiB",
        supervised=request.config_dict[CONFIG].supervised,
        status=(error or problem).status if (error or problem) else 200,  # type: ignore[union-attr]
        errors={"": " ".join(errors)} if errors else None,
    )


async def looked_at(
    service: Upgrades, version: str
) -> tuple[list[dict[str, Any]], dict[str, Any] | None, DomainError | None]:
    """The builds, what the one of that version would do, and what is wrong with either."""
    try:
        builds = await service.releases()
        plan = await service.plan(await service.build_of(asked_for(version))) if version else None
    except DomainError as error:
        return [], None, error
    return builds, plan, None


def asked_for(version: str) -> dict[str, Any]:
    return {"build": {"namespace": NAMESPACE, "application": APPLICATION, "version": version}}


def may_change(log: dict[str, Any], *, supervised: bool) -> bool:
    """Whether what is shown of an upgrade becomes another without a person."""
    if log["state"] not in FINAL:
        return not is_waiting(log)
    awaited = log["state"] == "finalized" and log["action"] != "install" and "replaced" not in log and supervised
    return bool(awaited and time.time() - log["updated_date"] / 1000 < REPLACED_WITHIN_S)


async def change_upgrade(request: web.Request) -> web.Response:
    """POST /admin/upgrades: stage, upgrade, complete or abort, as below `/api/v2/upgrade`."""
    user = allow(request, PAGE)
    sent, service = await read_form(request), upgrades(request)
    action, version = sent.text("action"), sent.text("version")
    try:
        if action in ("stage", "upgrade"):
            await service.start(action, {**asked_for(version), "force": sent.has("force")}, user.name)
        elif action == "complete":
            await service.complete()
        elif action == "abort":
            await service.abort()
        else:
            raise InvalidInput("`action` must be stage, upgrade, complete or abort")
    except DomainError as error:
        return await show_page(request, version, error)
    return done(request, PAGE.path, f"console.upgrades.done.{action}")


ROUTES = [web.get(PAGE.path, show_upgrades), web.post(PAGE.path, change_upgrade)]
