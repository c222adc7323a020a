"""What the frame itself answers: its stylesheet and script, the choice of a language."""

from __future__ import annotations

from aiohttp import web

from api.auth import require_online
from api.console.frame import as_page, read_form
from api.cookies import set_year_cookie
from api.login_page import asset
from api.login_session import LOCALE, redirect_target
from core.errors import InvalidInput


async def get_asset(request: web.Request) -> web.Response:
    """GET /admin/console.css, /admin/console.js and /admin/form-preview.css."""
    return asset(request.match_info["name"])


async def choose_language(request: web.Request) -> web.Response:
    """POST /admin/language: `locale` for this browser, as the login page chooses it; back to the page `back`."""
    require_online(request)
    sent = await read_form(request)
    if not LOCALE.fullmatch(sent.text("locale")):
        raise InvalidInput("`locale` must be a language code")
    response = web.Response(status=303, headers={"Location": redirect_target(sent.text("back"), "/admin/")})
    set_year_cookie(request, response, "locale", sent.text("locale"))
    return response


ROUTES = [
    web.get("/admin/{name:console[.](?:css|js)|form-preview[.]css}", get_asset),
    web.post("/admin/language", as_page(choose_language)),
]
