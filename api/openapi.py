"""One OpenAPI 3.1 document of every operation below /api, made of what stands beside the handlers."""

from __future__ import annotations

import inspect
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from http import HTTPStatus
from typing import Any, NamedTuple, NotRequired, TypedDict

import msgspec
from aiohttp import web

from api.operations import Content, Operation, operation_of
from core import __version__

JSON = "application/json"
PATH_PARAMETERS = {
    "id": "the id of a document",
    "username": "the name of an account",
    "key": "the name of a secret",
    "type": "what to export",
    "form": "the name of a form, with its format",
    "name": "the name of a file",
    "rev": "a revision",
}
OPENING = re.compile(r"^(?:GET|POST|PUT|DELETE)(?:`[^`]*`|[^`:]|:(?! ))*: ")
SENTENCE = re.compile(r"(?:`[^`]*`|[^`])*?(?=[.;:](?:\s|$))")
RULES = re.compile(r" \([A-Z]+-[^)]*\)")


class Route(NamedTuple):
    method: str
    path: str
    handler: Any


class Error(TypedDict):
    """A failure for a client that prefers JSON; the endpoints of CouchDB's kind tell `error` and `reason`."""

    error: str | dict[str, Any]
    code: NotRequired[int]
    details: NotRequired[str | dict[str, Any]]
    reason: NotRequired[str]
    message: NotRequired[str]


FAILURE: Content = {JSON: Error, "text/plain": str}


def api_routes(app: web.Application) -> Iterator[Route]:
    """Every route below /api but the HEAD that comes with a GET; a trailing slash is not another path."""
    paths = {route.resource.canonical for route in app.router.routes() if route.resource}
    for route in app.router.routes():
        path = route.resource.canonical if route.resource else ""
        if path.startswith("/api/") and route.method != "HEAD" and not (path[-1] == "/" and path[:-1] in paths):
            yield Route(route.method, path, route.handler)


def document(routes: Iterable[Route]) -> dict[str, Any]:
    """The OpenAPI document. LookupError for a route without a description."""
    described = [(route, found) for route in routes if (found := operation_of(route.handler))]
    types = list({id(each): each for _, operation in described for each in types_of(operation)}.values())
    schemas, components = msgspec.json.schema_components(types, ref_template="#/components/schemas/{name}")
    schema_of = {id(each): schema for each, schema in zip(types, schemas, strict=True)}
    paths: dict[str, dict[str, Any]] = {}
    for route, operation in described:
        paths.setdefault(route.path, {})[route.method.lower()] = operation_object(route, operation, schema_of)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Outpost",
            "version": __version__,
            "summary": "An offline-first sync server for community health",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": name} for name in Counter(tag_of(route.path) for route, _ in described)],
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                "basic": {"type": "http", "scheme": "basic"},
                "session": {"type": "apiKey", "in": "cookie", "name": "AuthSession"},
            },
        },
    }


def operation_object(route: Route, operation: Operation, schema_of: Mapping[int, Any]) -> dict[str, Any]:
    summary, text = told(route.handler, operation)
    path_names = re.findall(r"{(\w+)}", route.path)
    parameters = [
        {
            "name": name,
            "in": "path",
            "required": True,
            "description": PATH_PARAMETERS.get(name, name),
            "schema": {"type": "string", "minLength": 1},
        }
        for name in path_names
    ]
    parameters += [each.described() for each in operation.query]
    parameters += [
        {"name": name, "in": "header", "required": False, "description": about, "schema": {"type": "string"}}
        for name, about in operation.headers.items()
    ]
    found: dict[str, Any] = {
        "operationId": operation_id(route),
        "summary": summary,
        "description": f"{text}\n\n{who(operation)}".strip(),
        "tags": [tag_of(route.path)],
        "parameters": parameters,
        "responses": {
            **{str(status): answer(status, content, schema_of) for status, content in operation.answers.items()},
            **{str(status): answer(status, FAILURE, schema_of) for status in failures(operation)},
        },
        "security": [{"basic": []}, {"session": []}] if operation.access.needs_login else [],
    }
    if operation.access.needs_login:
        found["responses"]["302"] = {"description": "To the login page: a 401 for browsers that do not prefer JSON"}
    if operation.body is not None:
        found["requestBody"] = {"required": True, "content": content_object(operation.body, schema_of)}
    return found


def failures(operation: Operation) -> list[int]:
    """The statuses of errors: what follows from the description, and what it adds."""
    found = set(operation.errors)
    if operation.access.needs_login:
        found |= {401, 403, 503}
    if operation.query or operation.body is not None:
        found.add(400)
    if operation.body is not None:
        found.add(413)
    return sorted(found - operation.answers.keys())


def answer(status: int, content: Content, schema_of: Mapping[int, Any]) -> dict[str, Any]:
    described: dict[str, Any] = {"description": HTTPStatus(status).phrase}
    if content is not None:
        described["content"] = content_object(content, schema_of)
    return described


def content_object(content: Content, schema_of: Mapping[int, Any]) -> dict[str, Any]:
    return {media: {"schema": schema_of[id(kind)]} for media, kind in by_media(content).items()}


def by_media(content: Content) -> Mapping[str, Any]:
    return content if isinstance(content, Mapping) else {JSON: content}


def types_of(operation: Operation) -> Iterator[Any]:
    for content in (operation.body, FAILURE, *operation.answers.values()):
        if content is not None:
            yield from by_media(content).values()


def told(handler: Any, operation: Operation) -> tuple[str, str]:
    """Summary and description: the first sentence of the docstring without its request line, and all of it."""
    text = RULES.sub("", OPENING.sub("", inspect.getdoc(handler) or ""))
    first = SENTENCE.match(text)
    summary = operation.summary or (first[0] if first else text).replace("\n", " ")
    return summary[:1].upper() + summary[1:], text[:1].upper() + text[1:]


def who(operation: Operation) -> str:
    words = f"For {operation.access.value}"
    if operation.permissions:
        words += f" with {' and '.join(f'`{each}`' for each in operation.permissions)}"
    if operation.any_of:
        words += f" with {' or '.join(f'`{each}`' for each in operation.any_of)}"
    return f"{words}."


def tag_of(path: str) -> str:
    """The resource: the first part of the path that is no version."""
    return next(part for part in path.removeprefix("/api/").split("/") if not re.fullmatch(r"v\d", part))


def operation_id(route: Route) -> str:
    words = re.sub(r"{(\w+)}", r"by_\1", route.path.removeprefix("/api/"))
    return f"{route.method.lower()}_{re.sub(r'[^a-zA-Z0-9]+', '_', words)}"
