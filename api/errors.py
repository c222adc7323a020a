"""Failures only the HTTP surface knows, and the one place where any failure becomes an answer (10 ERR-1..16)."""

from __future__ import annotations

import logging
import re
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import quote

import orjson
from aiohttp import web

from api.keys import CONFIG
from api.responses import json_response, prefers_json
from core.errors import (
    BY_STATUS,
    DiskFull,
    DomainError,
    Forbidden,
    InvalidInput,
    TooLarge,
    Unauthorized,
    Unavailable,
)

log = logging.getLogger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Render = Callable[[web.Request, DomainError], web.Response]

DEVICE_KEY = re.compile("^(/openrosa/key/)[^/]+")
STARTED = web.RequestKey("started", bool)  # the status line has been sent: a failure can only cut the answer short

LOGOUT_HEADER = {"logout-authorization": "CHT-Core API"}  # clients end their session only on a 401 with it (ERR-6)
BASIC_PROMPT = {"WWW-Authenticate": 'Basic realm="Medic Web Services"'}


class OfflineFirewall(Forbidden):
    """An offline user asked for something outside the phone's protocols (ERR-11)."""

    def __init__(self) -> None:
        super().__init__("Offline users are not allowed access to this endpoint")


class InsufficientPrivileges(Forbidden):
    """A permission is missing (PERM-21)."""

    def __init__(self, message: str = "Insufficient privileges") -> None:
        super().__init__(message)


class StorageError(DomainError):
    """A failure told the way CouchDB tells it, always JSON: `{"error": slug, "reason": message}` (ERR-13)."""

    def __init__(self, status: int, slug: str, message: str) -> None:
        super().__init__(message)
        self.status = status  # type: ignore[misc]
        self.slug = slug  # type: ignore[misc]


class DocForbidden(StorageError):
    """This document, or this write, is not for the caller (ERR-12)."""

    def __init__(self, message: str = "Insufficient privileges") -> None:
        super().__init__(403, "forbidden", message)


class LoginPrompt(Unauthorized):
    """Nobody is logged in, at an endpoint that asks for Basic credentials (ERR-3, first row)."""


class TooManyRequests(DomainError):
    """Too many failed logins just now (AUTH-101)."""

    status = 429
    slug = "too_many_requests"

    def __init__(self) -> None:
        super().__init__("Too Many Requests")


class MalformedJson(InvalidInput):
    """The request body is not JSON."""


def error_middleware(render: Render) -> Any:
    """The middleware that turns every failure below it into an answer by `render`."""

    @web.middleware
    async def answer_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except DomainError as error:
            failure = error
        except web.HTTPException as error:
            if error.status < 400:
                raise  # a redirect is an answer, not an error
            failure = from_http(error)
        except web.RequestPayloadError as error:
            failure = InvalidInput("The request body is not encoded as Content-Encoding or Transfer-Encoding say")
            log.info("body of %s %s: %s", request.method, loggable(request.path), error)
        except ConnectionResetError:
            raise  # the client has gone
        except Exception:
            log.exception("unhandled error in %s %s", request.method, loggable(request.path))
            failure = DomainError("Server error")
        if STARTED in request:
            log.warning("answer to %s %s cut short: %s", request.method, loggable(request.path), failure.message)
            if request.transport is not None:
                request.transport.abort()  # without the closing chunk, so that the client notices (ERR-15)
            raise ConnectionResetError("answer cut short") from failure
        return render(request, failure)

    return answer_errors


def loggable(path: str) -> str:
    """A path as the log may hold it: without the key of a device (50 OR-42)."""
    return DEVICE_KEY.sub(r"\1…", path)


def from_http(error: web.HTTPException) -> DomainError:
    """aiohttp's own refusals as ours."""
    if error.status == 413:
        return TooLarge("Payload Too Large")
    kind = BY_STATUS.get(error.status, InvalidInput if error.status < 500 else DomainError)
    return kind(error.text or error.reason)


def render(request: web.Request, error: DomainError) -> web.Response:
    """The API's own rendering of a failure."""
    if isinstance(error, Unauthorized):
        return unauthorized(request, prompt=isinstance(error, LoginPrompt))
    if isinstance(error, OfflineFirewall):
        return json_response({"code": 403, "error": "forbidden", "details": error.message}, status=403)
    if isinstance(error, StorageError):
        return json_response({"error": error.slug, "reason": error.message}, status=error.status)
    if error.status >= 500 and not request.path.startswith("/api/"):  # clients of CouchDB's protocol read JSON only
        return json_response({"error": error.slug, "reason": error.message}, status=error.status)
    if error.status >= 500 and not isinstance(error, DiskFull | Unavailable):
        return server_error(request, error)
    if prefers_json(request):
        body: dict[str, Any] = {"code": error.status, "error": message_of(error)}
        if details := details_of(error):
            body["details"] = details
        return json_response(body, status=error.status)
    details = details_of(error)
    suffix = f": {orjson.dumps(details).decode()}" if details else ""
    return web.Response(text=error.message + suffix, status=error.status)


def message_of(error: DomainError) -> Any:
    """The text, or with a `translationKey` among the details the object of ERR-7."""
    if "translationKey" not in error.details:
        return error.message
    keyed = {name: error.details[name] for name in ("translationKey", "translationParams") if name in error.details}
    return {"message": error.message, **keyed}


def details_of(error: DomainError) -> dict[str, Any]:
    return {name: value for name, value in error.details.items() if name not in ("translationKey", "translationParams")}


def server_error(request: web.Request, error: DomainError) -> web.Response:
    """ERR-8: `Server error`, with the failure's public sentence as details where it has one."""
    public = error.message if error.message != "Server error" else None
    if prefers_json(request):
        body: dict[str, Any] = {"code": 500, "error": "Server error"}
        if public:
            body["details"] = public
        return json_response(body, status=500)
    text = f"Server error: {orjson.dumps(public).decode()}" if public else "Server error"
    return web.Response(text=text, status=500)


def unauthorized(request: web.Request, *, prompt: bool = False) -> web.Response:
    """The four renderings of 401 (ERR-3), first matching row."""
    if not prompt and prefers_json(request):
        return json_response({"code": 401, "error": "unauthorized"}, status=401, headers=LOGOUT_HEADER)
    if not prompt and is_human(request):
        return login_redirect(request)
    return web.Response(text="not logged in", status=401, headers={**LOGOUT_HEADER, **BASIC_PROMPT})


def login_redirect(request: web.Request) -> web.Response:
    database = quote(request.config_dict[CONFIG].database, safe="")
    location = f"/{database}/login?redirect={quote(str(request.rel_url), safe='')}"
    response = web.Response(status=302, headers={**LOGOUT_HEADER, "Location": location})
    response.set_cookie("login", "force", path="/", samesite="Lax")
    return response


def is_human(request: web.Request) -> bool:
    """Whether a person's browser or app asks, not a gateway or form collector (ERR-4)."""
    agent = request.headers.get("User-Agent", "")
    if agent.startswith("Dalvik/"):
        return "medic.gateway" not in agent and ".collect.android" not in agent
    return bool(agent)
