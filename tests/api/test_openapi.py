"""The API's description of itself: complete, valid, and true of who may do what."""

from __future__ import annotations

import ast
import importlib
import pkgutil
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from aiohttp.test_utils import TestClient

import api.handlers
from api.app import create_app
from api.openapi import Route, api_routes, by_media, document
from api.operations import Access, Operation, operation_of
from api.params import Param
from core.config import Config
from core.places import EDITABLE as EDITABLE_OF_PLACES
from core.shapes import PlaceChanges, UserChanges
from core.user_fields import EDITABLE

APP = create_app(Config(couch_url="http://admin:secret@127.0.0.1:1/medic"))
ROUTES = list(api_routes(APP))
IDS = [f"{route.method} {route.path}" for route in ROUTES]


@pytest.mark.parametrize("route", ROUTES, ids=IDS)
def test_every_route_below_api_is_described(route: Any) -> None:
    assert operation_of(route.handler) is not None


def test_every_described_path_has_a_route() -> None:
    described = {(method.upper(), path) for path, found in document(ROUTES)["paths"].items() for method in found}

    assert described == {(route.method, route.path) for route in ROUTES}


def test_every_operation_has_an_id_and_a_summary_of_its_own() -> None:
    operations = [each for path in document(ROUTES)["paths"].values() for each in path.values()]

    assert len({each["operationId"] for each in operations}) == len(operations)
    assert [each["operationId"] for each in operations if not 3 <= len(each["summary"]) <= 140] == []


def test_every_schema_is_a_json_schema_and_every_reference_leads_to_one() -> None:
    found = document(ROUTES)
    names = found["components"]["schemas"].keys()

    for schema in found["components"]["schemas"].values():
        jsonschema_rs.meta.validate(schema)
    assert [name for name in names if "." in name] == []  # two types of one name
    assert set(re.findall(r"#/components/schemas/([\w.]+)", str(found))) <= names


async def test_the_document_is_served_to_everybody(client: TestClient[Any, Any]) -> None:
    response = await client.get("/api/openapi.json", headers={"Authorization": ""})

    assert response.status == 200
    found = await response.json()
    assert found["openapi"] == "3.1.0"
    assert found["paths"].keys() >= {"/api/v1/settings", "/api/v1/users", "/api/v1/person/{id}"}


async def test_the_page_asks_no_other_server_for_anything(client: TestClient[Any, Any]) -> None:
    response = await client.get("/api/docs", headers={"Authorization": ""})

    page = await response.text()
    assert response.status == 200
    assert response.content_type == "text/html"
    assert [link for link in re.findall(r'(?:src|href)="([^"#]+)"', page) if not link.startswith("/api/")] == []
    for link in set(re.findall(r'(?:src|href)="(/api/[^"]+)"', page)):
        assert (await client.get(link)).status == 200
    assert "<code>/api/v1/person/{id}</code>" in page


OPENROSA = ("openrosa.py", "submissions.py")  # a protocol of its own
UNDESCRIBED = (
    "app_files.py",
    "login.py",
    "nouveau.py",
    "password_reset.py",
    "session.py",
    "sso_login.py",
    "storage.py",
    "token_login.py",
)


def test_handlers_read_the_query_through_declared_parameters_only() -> None:
    raw = [
        f"{source.name}:{node.lineno}"
        for source in Path(api.handlers.__path__[0]).glob("*.py")
        if source.name not in (*UNDESCRIBED, *OPENROSA)
        for node in ast.walk(ast.parse(source.read_text()))
        if isinstance(node, ast.Attribute) and node.attr == "query" and getattr(node.value, "id", "") == "request"
    ]

    assert raw == []


def test_every_declared_parameter_is_described() -> None:
    described = {id(each) for route in ROUTES if (found := operation_of(route.handler)) for each in found.query}
    names = [each.name for each in pkgutil.iter_modules(api.handlers.__path__)]
    declared = [
        (module, name, value)
        for module in names
        for name, value in vars(importlib.import_module(f"api.handlers.{module}")).items()
        if isinstance(value, Param)
    ]

    assert [(module, name) for module, name, value in declared if id(value) not in described] == []


def test_the_checks_and_the_description_name_the_same_members() -> None:
    assert EDITABLE_OF_PLACES == ("name", "parent", "contact", "place_id")
    assert set(PlaceChanges.__annotations__) == set(EDITABLE_OF_PLACES)
    assert set(UserChanges.__annotations__) >= set(EDITABLE)


def described(route: Route) -> Operation:
    found = operation_of(route.handler)
    assert found
    return found


def filled(path: str) -> str:
    return re.sub(r"{\w+}", "x", path.replace("/export/{type}", "/export/reports"))


async def test_what_is_not_public_needs_a_login(client: TestClient[Any, Any]) -> None:
    answers = {}
    for route in ROUTES:
        response = await client.request(
            route.method,
            filled(route.path),
            headers={"Authorization": "", "Accept": "application/json", "Content-Type": "application/json"},
            data=b"{}" if route.method != "GET" else None,
        )
        answers[route.method, route.path] = response.status

    public = {(each.method, each.path) for each in ROUTES if described(each).access is Access.PUBLIC}
    assert {each for each, status in answers.items() if status == 200} == public
    services = {(each.method, each.path) for each in ROUTES if described(each).access is Access.SERVICE}
    assert {answers[each] for each in services} == {403}
    ours = answers.keys() - public - services
    assert [each for each in ours if answers[each] not in (401, 404)] == []


async def test_permissions_that_are_described_are_asked_for(
    client: TestClient[Any, Any], make_user: Callable[..., Awaitable[dict[str, str]]]
) -> None:
    nobody = await make_user("nobody", roles=["mm-online"])
    asked = [route for route in ROUTES if described(route).permissions or described(route).any_of]
    answers = {}
    for route in asked:
        media = next(iter(by_media(described(route).body)))
        response = await client.request(
            route.method,
            filled(route.path),
            headers={**nobody, "Accept": "application/json", "Content-Type": media},
            data=b"{}" if route.method != "GET" else None,
        )
        answers[route.method, route.path] = response.status

    assert asked
    assert {each: status for each, status in answers.items() if status != 403} == {}
