"""What is answered while the server starts: how far it is, or 503 (AUTH-19, AUTH-128, 60 UPG-2)."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import NotRequired, TypedDict

from aiohttp import web

from api.errors import is_human
from api.login_page import PAGE_POLICY, asset, templates
from api.operations import Access, Operation, describe
from api.responses import json_response, prefers_json, weighted
from core.prepare import STEPS

SHUTDOWN_S = 0.2
BACKLOG = 1024
RETRY_AFTER_S = 2
# CouchDB, where a deployment keeps its own translations, may not be up yet.
TEXTS: Mapping[str, Mapping[str, str]] = {
    "en": {
        "title": "The server is starting",
        "checks": "Waiting for the database",
        "install": "Installing databases and design documents",
        "index": "Building indexes",
        "config": "Loading the configuration",
        "migrate": "Bringing the data up to date",
    },
    "es": {
        "title": "El servidor se está iniciando",
        "checks": "Esperando la base de datos",
        "install": "Instalando bases de datos y documentos de diseño",
        "index": "Creando índices",
        "config": "Cargando la configuración",
        "migrate": "Actualizando los datos",
    },
    "fr": {
        "title": "Le serveur démarre",
        "checks": "En attente de la base de données",
        "install": "Installation des bases de données et des documents de conception",
        "index": "Construction des index",
        "config": "Chargement de la configuration",
        "migrate": "Mise à jour des données",
    },
    "sw": {
        "title": "Seva inaanza",
        "checks": "Inasubiri hifadhidata",
        "install": "Inasakinisha hifadhidata na hati za usanifu",
        "index": "Inaunda faharasa",
        "config": "Inapakia usanidi",
        "migrate": "Inasasisha data",
    },
}


class Action(TypedDict):
    translation: str
    text: str
    display: bool
    started: NotRequired[bool]
    completed: NotRequired[bool]


class Progress(TypedDict):
    actions: dict[str, Action]
    completed: bool


class StartUp:
    """Which step of the start is running; `begin` may go back, as when CouchDB goes away in the middle."""

    def __init__(self) -> None:
        self.at = -1

    def begin(self, step: str) -> None:
        self.at = STEPS.index(step)


def progress(at: int, locale: str) -> Progress:
    """The steps, of which those before number `at` are done and that one is running."""
    actions: dict[str, Action] = {}
    for number, step in enumerate(STEPS):
        actions[step] = {"translation": f"startup.{step}", "text": TEXTS[locale][step], "display": True}
        if number <= at:
            actions[step]["started"] = True
        if number < at:
            actions[step]["completed"] = True
    return {"actions": actions, "completed": at >= len(STEPS)}


def locale_of(request: web.Request) -> str:
    wished = sorted(weighted(request.headers.get("Accept-Language", "")), key=lambda each: -each[1])
    codes = (request.cookies.get("locale", ""), *(code for code, weight in wished if weight > 0))
    return next((code[:2] for code in codes if code[:2] in TEXTS), "en")


@describe(Operation(access=Access.PUBLIC, answers={200: Progress}))
async def get_startup_progress(request: web.Request) -> web.Response:
    """GET /api/v1/startup-progress: the steps of the start, all of them done (AUTH-128).

    While the server starts it is answered too, and tells which step is running; anything else is 503 then.
    """
    return progress_response(request, len(STEPS))


def progress_response(request: web.Request, at: int) -> web.Response:
    return json_response(progress(at, locale_of(request)), headers={"Cache-Control": "no-store"})


def create_startup_app(start_up: StartUp) -> web.Application:
    async def show_progress(request: web.Request) -> web.Response:
        return progress_response(request, start_up.at)

    async def get_asset(request: web.Request) -> web.Response:
        return asset(request.match_info["name"])

    async def answer_not_yet(request: web.Request) -> web.Response:
        headers = {"Cache-Control": "no-store", "Retry-After": str(RETRY_AFTER_S)}
        if request.method not in ("GET", "HEAD") or prefers_json(request) or not wants_page(request):
            return json_response({"error": "Service unavailable"}, status=503, headers=headers)
        locale = locale_of(request)
        page = templates.get_template("startup.html").render(
            locale=locale, title=TEXTS[locale]["title"], actions=progress(start_up.at, locale)["actions"]
        )
        headers["Content-Security-Policy"] = PAGE_POLICY
        return web.Response(text=page, content_type="text/html", headers=headers)

    app = web.Application()
    app.add_routes(
        [
            web.get("/api/v1/startup-progress", show_progress),
            web.get("/login/{name:startup[.]js|style[.]css}", get_asset),
            web.route("*", "/{path:.*}", answer_not_yet),
        ]
    )
    return app


def wants_page(request: web.Request) -> bool:
    return is_human(request) and any(name == "text/html" for name, _ in weighted(request.headers.get("Accept", "")))


@asynccontextmanager
async def answering_startup(listeners: Sequence[socket.socket]) -> AsyncIterator[StartUp]:
    """Answer what comes to the API's sockets while the block lasts; they listen on afterwards."""
    start_up = StartUp()
    runner = web.AppRunner(create_startup_app(start_up), access_log=None, shutdown_timeout=SHUTDOWN_S)
    await runner.setup()
    try:
        for listener in listeners:
            await web.SockSite(runner, listener.dup(), backlog=BACKLOG).start()
        yield start_up
    finally:
        await runner.cleanup()


ROUTES = [web.get("/api/v1/startup-progress", get_startup_progress)]
