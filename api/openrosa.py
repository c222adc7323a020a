"""What all OpenRosa answers have in common: their headers, their errors, and who may ask (OR-2, OR-24, OR-40..43)."""

from __future__ import annotations

from ipaddress import ip_address

from aiohttp import web

from api.auth import current_user
from api.credentials import CREDENTIALS, Credentials
from api.errors import BASIC_PROMPT, Handler, error_middleware
from api.forwarded import client_address, is_address, is_https, origin
from api.keys import CONFIG, COUCH, SESSIONS, USER
from api.sessions import User
from core.couch.client import Database
from core.device_keys import username_of
from core.errors import DomainError, Forbidden, Unauthorized
from core.xforms.openrosa import response

DEVICE_KEY = "key"
HEADERS = {"X-OpenRosa-Version": "1.0"}
XML = "text/xml; charset=utf-8"
PLAIN_HTTP = "Passwords are only taken over HTTPS"


def xml_response(body: bytes, *, status: int = 200) -> web.Response:
    return web.Response(body=body, status=status, headers={**HEADERS, "Content-Type": XML})


def told(message: str, *, status: int, nature: str = "submit_success") -> web.Response:
    return xml_response(response(message, nature), status=status)


def render_openrosa(request: web.Request, error: DomainError) -> web.Response:
    """A failure as OpenRosa clients show it; 401 always asks for Basic credentials, never redirects."""
    answer = told(error.message, status=error.status, nature=f"submit_{'error' if error.status < 500 else 'failure'}")
    if isinstance(error, Unauthorized):
        answer.headers.update(BASIC_PROMPT)
    return answer


def openrosa(handler: Handler) -> Handler:
    """The handler with every failure told the OpenRosa way."""
    answer_errors = error_middleware(render_openrosa)

    async def identified(request: web.Request) -> web.StreamResponse:
        if DEVICE_KEY in request.match_info:
            await log_device_in(request)
        return await handler(request)

    async def answer(request: web.Request) -> web.StreamResponse:
        found: web.StreamResponse = await answer_errors(request, identified)
        return found

    answer.__doc__ = handler.__doc__
    return answer


async def log_device_in(request: web.Request) -> None:
    """Let the caller be the account that the key in the address stands for, whatever else it brings. Unauthorized."""
    username = await username_of(vault(request), request.match_info[DEVICE_KEY])
    sessions = request.config_dict[SESSIONS]
    session = await sessions.issue(username) if username else None
    credentials = Credentials(cookie=session.value) if session else None
    account = await sessions.check(credentials) if credentials else None
    if credentials is None or account is None:
        raise Unauthorized("The address of this device is not valid any more")
    request[CREDENTIALS], request[USER] = credentials, sessions.as_user(account)


def vault(request: web.Request) -> Database:
    return request.config_dict[COUCH].db(request.config_dict[CONFIG].db_name("vault"))


def base_url(request: web.Request) -> str:
    """The address that clients know as the server: a device's own where it came by that."""
    key = request.match_info.get(DEVICE_KEY)
    return f"{origin(request)}/openrosa{f'/key/{key}' if key else ''}"


def paths(path: str) -> tuple[str, ...]:
    """A path below `/openrosa`, and the same for a device with a key."""
    return f"/openrosa{path}", f"/openrosa/key/{{{DEVICE_KEY}}}{path}"


def collector(request: web.Request) -> User:
    """The caller. Forbidden over plain HTTP from another machine, where a password could be read on its way."""
    address = client_address(request)
    if not is_https(request) and not (is_address(address) and ip_address(address).is_loopback):
        raise Forbidden(PLAIN_HTTP)
    return current_user(request)
