"""Every page of the console in the order of its navigation, and their routes."""

from __future__ import annotations

from types import ModuleType

from aiohttp import web

from api.console import (
    exports,
    forms,
    frame_routes,
    messages,
    overview,
    places,
    sentinel,
    settings,
    upgrades,
    user_imports,
    users,
)
from api.console.frame import Page, console_routes

# Each has a PAGE and ROUTES.
MODULES: tuple[ModuleType, ...] = (overview, messages, users, places, forms, exports, sentinel, settings, upgrades)

CONSOLE_PAGES: tuple[Page, ...] = tuple(module.PAGE for module in MODULES)
ROUTES: list[web.RouteDef] = [
    *frame_routes.ROUTES,
    *console_routes(user_imports.ROUTES),
    *console_routes([route for module in MODULES for route in module.ROUTES]),
]
