"""Upgrades: which builds there are, what they would change, staging, completing and aborting them (30 §15, 60 §13)."""

from __future__ import annotations

from typing import Any, NotRequired, TypedDict

from aiohttp import web

from api.auth import require_any
from api.keys import CONFIG, COUCH, NOW
from api.operations import Access, Operation, describe
from api.params import read_json
from api.responses import json_response
from api.sessions import User
from core.upgrades.service import Upgrades

PERMISSIONS = ("can_upgrade", "can_configure")  # of CHT 4 and later, and of CHT 3


class BuildInfo(TypedDict):
    namespace: str
    application: str
    version: str


class UpgradeRequest(TypedDict):
    build: BuildInfo
    force: NotRequired[bool]


class Done(TypedDict):
    ok: bool
    warning: NotRequired[str]


class Indexer(TypedDict):
    database: str
    ddoc: str
    type: str
    progress: int
    tasks: dict[str, int]
    remaining_s: int | None


class UpgradeStatus(TypedDict):
    upgradeDoc: NotRequired[dict[str, Any]]
    indexers: list[Indexer]
    buildsUrl: str


class Difference(TypedDict):
    type: list[str]
    ddoc: str
    db: str
    indexing: bool
    size: NotRequired[int]


START = Operation(
    access=Access.ACCOUNT, any_of=PERMISSIONS, body=UpgradeRequest, answers={200: Done}, errors=(404, 409, 507)
)


def allow(request: web.Request) -> User:
    return require_any(request, *PERMISSIONS)


def upgrades(request: web.Request) -> Upgrades:
    app = request.config_dict
    return Upgrades(app[COUCH], app[CONFIG], app[NOW])


@describe(START)
async def post_upgrade(request: web.Request) -> web.Response:
    """POST /api/v2/upgrade: stage a build, build its indexes beside the running ones, and complete it (UPG-30).

    Answers at once; the rest is done by the background worker and told in the log document and in `horti-upgrade`.
    404 when there is no such build, 409 while another upgrade is unfinished, 507 when the new indexes have no room on
    the disk, unless `force` is true. A build that is older than what runs is taken, with a `warning`.
    """
    return await start(request, "upgrade")


@describe(START)
async def post_stage(request: web.Request) -> web.Response:
    """POST /api/v2/upgrade/stage: the same up to the indexes; complete or abort it later (UPG-31)."""
    return await start(request, "stage")


async def start(request: web.Request, action: str) -> web.Response:
    user = allow(request)
    log = await upgrades(request).start(action, await read_json(request), user.name)
    done: Done = {"ok": True}
    if log.get("downgrade"):
        done["warning"] = f"{log['to']} is older than {log['from']}, which runs now"
    return json_response(done)


@describe(Operation(access=Access.ACCOUNT, any_of=PERMISSIONS, answers={200: Done}, errors=(404, 409)))
async def post_complete(request: web.Request) -> web.Response:
    """POST /api/v2/upgrade/complete: exchange the design documents for what is staged, then restart the processes.

    404 when nothing is staged and indexed. A body is not needed (UPG-32).
    """
    allow(request)
    await upgrades(request).complete()
    return json_response({"ok": True})


@describe(Operation(access=Access.ACCOUNT, any_of=PERMISSIONS, answers={200: UpgradeStatus}))
async def get_upgrade(request: web.Request) -> web.Response:
    """GET /api/v2/upgrade: the log of the upgrade that is not over, if there is one, and how far each index is.

    `progress` is in percent, `remaining_s` the seconds left at the rate so far. `buildsUrl` tells where builds are.
    """
    allow(request)
    return json_response(await upgrades(request).status())


@describe(Operation(access=Access.ACCOUNT, any_of=PERMISSIONS, answers={200: Done}, errors=(409,)))
async def delete_upgrade(request: web.Request) -> web.Response:
    """DELETE /api/v2/upgrade: take back what is staged, at any time before the exchange (UPG-34)."""
    allow(request)
    await upgrades(request).abort()
    return json_response({"ok": True})


@describe(Operation(access=Access.ACCOUNT, any_of=PERMISSIONS, answers={200: Done}))
async def get_can_upgrade(request: web.Request) -> web.Response:
    """GET /api/v2/upgrade/can-upgrade: `ok` when a supervisor is there, which restarts the processes (UPG-35)."""
    allow(request)
    return json_response({"ok": request.config_dict[CONFIG].supervised})


@describe(
    Operation(
        access=Access.ACCOUNT, any_of=PERMISSIONS, body=UpgradeRequest, answers={200: list[Difference]}, errors=(404,)
    )
)
async def compare_build(request: web.Request) -> web.Response:
    """POST /api/v2/upgrade/compare: the design documents that a build would add or change (UPG-38).

    `type` is `added`, `views` or `indexes`; `size` the bytes of the indexes that would be built anew.
    """
    allow(request)
    return json_response(await upgrades(request).compare(await read_json(request)))


@describe(Operation(access=Access.ACCOUNT, any_of=PERMISSIONS, answers={200: list[Difference]}, errors=(400, 404)))
async def get_comparison(request: web.Request) -> web.Response:
    """GET /api/v2/upgrade/compare: the same by a GET that brings a body."""
    return await compare_build(request)


@describe(Operation(access=Access.ACCOUNT, any_of=PERMISSIONS, answers={200: list[dict[str, Any]]}))
async def get_builds(request: web.Request) -> web.Response:
    """GET /api/v2/upgrade/builds: the build info of all builds, with their `kind`: releases, betas, branches.

    The newest first. `running` is true for the one that runs, `older` for those that come before it.
    """
    allow(request)
    return json_response(await upgrades(request).releases())


ROUTES: list[Any] = [
    *(
        web.post(f"/api/{version}/upgrade{step}", handler)
        for version in ("v1", "v2")
        for step, handler in (("", post_upgrade), ("/stage", post_stage), ("/complete", post_complete))
    ),
    web.get("/api/v2/upgrade", get_upgrade),
    web.delete("/api/v2/upgrade", delete_upgrade),
    web.get("/api/v2/upgrade/can-upgrade", get_can_upgrade),
    web.get("/api/v2/upgrade/builds", get_builds),
    web.get("/api/v2/upgrade/compare", get_comparison),
    web.post("/api/v2/upgrade/compare", compare_build),
]
