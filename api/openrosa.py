"""What all OpenRosa answers have in common: their headers, their errors, and who may ask (OR-2, OR-24, OR-40..43)."""

from __future__ import annotations

from ipaddress import ip_address

from aiohttp import web

from api.auth import user_or_prompt
from api.errors import BASIC_PROMPT, Handler, error_middleware
from api.forwarded import client_address, is_address, is_https
from api.sessions import User
from core.errors import DomainError, Forbidden, Unauthorized
from core.xforms.openrosa import response

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

    async def answer(request: web.Request) -> web.StreamResponse:
        found: web.StreamResponse = await answer_errors(request, handler)
        return found

    answer.__doc__ = handler.__doc__
    return answer


def collector(request: web.Request) -> User:
    """The caller. Forbidden over plain HTTP from another machine, where a password could be read on its way."""
    address = client_address(request)
    if not is_https(request) and not (is_address(address) and ip_address(address).is_loopback):
        raise Forbidden(PLAIN_HTTP)
    return user_or_prompt(request)
