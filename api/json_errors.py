"""Endpoints whose errors are JSON whatever the client prefers (ERR-14, 30 §8)."""

from __future__ import annotations

from functools import wraps

from aiohttp import web

from api.errors import Handler, OfflineFirewall, StorageError, error_middleware, render
from api.responses import json_response
from core.errors import DiskFull, DomainError, Unauthorized


def render_as_json(request: web.Request, error: DomainError) -> web.Response:
    """`{code, error}`; a 401, an unexpected failure and what is JSON anyway keep the API's own rendering."""
    if isinstance(error, Unauthorized | OfflineFirewall | StorageError):
        return render(request, error)
    if error.status >= 500 and not isinstance(error, DiskFull):
        return render(request, error)
    return json_response({"code": error.status, "error": error.message}, status=error.status)


answer_errors = error_middleware(render_as_json)


def always_json(handler: Handler) -> Handler:
    """The handler, its failures told in JSON."""

    @wraps(handler)
    async def answer(request: web.Request) -> web.StreamResponse:
        response: web.StreamResponse = await answer_errors(request, handler)
        return response

    return answer
