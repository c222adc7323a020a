"""How failures are told: content negotiation, 401 in four renderings, always-JSON ones (10 §6)."""

from __future__ import annotations

from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, make_mocked_request
from multidict import CIMultiDict

from api.errors import (
    DocForbidden,
    InsufficientPrivileges,
    OfflineFirewall,
    StorageError,
    from_http,
    is_human,
    render,
)
from api.responses import prefers_json
from core.errors import DiskFull, DomainError, InvalidInput, Unavailable
from tests.conftest import basic

JSON = {"Accept": "application/json"}


def request_with(path: str = "/api/v1/settings", **headers: str) -> web.Request:
    return make_mocked_request("GET", path, headers=CIMultiDict(headers))


@pytest.mark.parametrize(
    ("accept", "json"),
    [
        ("application/json", True),
        ("application/json, text/plain, */*", True),
        ("application/json, */*", True),
        ("text/plain, application/json", False),
        ("text/plain;q=0.5, application/json", True),
        ("application/json;q=0.2, text/plain", False),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", False),
        ("*/*", False),
        ("", False),
        ("application/json;q=nonsense", False),
    ],
)
def test_json_is_sent_to_whoever_prefers_it_over_text(accept: str, json: bool) -> None:  # ERR-1
    assert prefers_json(request_with(Accept=accept)) is json


@pytest.mark.parametrize(
    ("agent", "human"),
    [
        ("Mozilla/5.0", True),
        ("Dalvik/2.1.0 (Linux; Android 9)", True),
        ("Dalvik/2.1.0 org.medicmobile.webapp.mobile", True),
        ("Dalvik/2.1.0 medic.gateway/1.0", False),
        ("Dalvik/2.1.0 org.collect.android.collect", False),
        ("", False),
    ],
)
def test_people_are_told_from_devices_by_their_user_agent(agent: str, human: bool) -> None:  # ERR-4
    assert is_human(request_with(**({"User-Agent": agent} if agent else {}))) is human


@pytest.mark.parametrize(
    ("error", "status", "as_json", "as_text"),
    [
        pytest.param(InvalidInput("no"), 400, b'{"code":400,"error":"no"}', b"no", id="generic"),
        pytest.param(
            InvalidInput("no", field="x"),
            400,
            b'{"code":400,"error":"no","details":{"field":"x"}}',
            b'no: {"field":"x"}',
            id="details",
        ),
        pytest.param(
            InvalidInput("short", translationKey="password.length", translationParams={"minimum": 8}),
            400,
            b'{"code":400,"error":{"message":"short","translationKey":"password.length",'
            b'"translationParams":{"minimum":8}}}',
            b"short",
            id="translated",  # ERR-7
        ),
        pytest.param(DomainError(), 500, b'{"code":500,"error":"Server error"}', b"Server error", id="unexpected"),
        pytest.param(
            DomainError("disk full"),
            500,
            b'{"code":500,"error":"Server error","details":"disk full"}',
            b'Server error: "disk full"',
            id="unexpected with a public message",  # ERR-8
        ),
        pytest.param(
            InsufficientPrivileges(),
            403,
            b'{"code":403,"error":"Insufficient privileges"}',
            b"Insufficient privileges",
            id="permission",  # PERM-21
        ),
        pytest.param(
            DiskFull("5 MiB are free"), 507, b'{"code":507,"error":"5 MiB are free"}',
            b"5 MiB are free", id="disk full",
        ),
        pytest.param(Unavailable("away"), 503, b'{"code":503,"error":"away"}', b"away", id="unavailable"),
    ],
)  # fmt: skip
def test_a_failure_is_told_in_json_or_text(error: DomainError, status: int, as_json: bytes, as_text: bytes) -> None:
    in_json, in_text = render(request_with(**JSON), error), render(request_with(), error)

    assert (in_json.status, in_json.body) == (status, as_json)  # ERR-2, ERR-10
    assert in_json.headers["Content-Type"] == "application/json; charset=utf-8"  # EP-1
    assert (in_text.status, in_text.body) == (status, as_text)


@pytest.mark.parametrize(
    ("error", "status", "slug"),
    [(DomainError(), 500, "internal_server_error"), (Unavailable("Server error"), 503, "service_unavailable")],
)
def test_clients_of_couchdb_are_told_our_failures_in_its_form(error: DomainError, status: int, slug: str) -> None:
    answer = render(request_with("/medic/"), error)

    assert answer.status == status
    assert answer.body == b'{"error":"%b","reason":"Server error"}' % slug.encode()


@pytest.mark.parametrize(
    ("error", "status", "body"),
    [
        pytest.param(
            OfflineFirewall(),
            403,
            b'{"code":403,"error":"forbidden","details":"Offline users are not allowed access to this endpoint"}',
            id="firewall",  # ERR-11
        ),
        pytest.param(
            DocForbidden(), 403, b'{"error":"forbidden","reason":"Insufficient privileges"}', id="document"
        ),  # ERR-12
        pytest.param(
            StorageError(404, "bad_request", "Invalid rev format"),
            404,
            b'{"error":"bad_request","reason":"Invalid rev format"}',
            id="as CouchDB tells it",  # ERR-13
        ),
    ],
)
def test_some_failures_are_json_whatever_is_accepted(error: DomainError, status: int, body: bytes) -> None:
    answer = render(request_with(Accept="text/plain"), error)

    assert (answer.status, answer.body) == (status, body)


def test_a_body_that_is_too_large_is_413() -> None:  # ERR-9
    error = from_http(web.HTTPRequestEntityTooLarge(max_size=1, actual_size=2))

    assert (error.status, error.message) == (413, "Payload Too Large")


ANONYMOUS = {"Authorization": ""}
BROWSER = {"User-Agent": "Mozilla/5.0", "Accept": "text/html,*/*;q=0.8"}


async def test_an_anonymous_json_client_gets_401_in_json(client: TestClient[Any, Any]) -> None:
    answer = await client.get("/medic/_all_docs", headers={**ANONYMOUS, **JSON})

    assert answer.status == 401  # ERR-3, 10 §10 check 1
    assert answer.headers["logout-authorization"] == "CHT-Core API"  # ERR-6
    assert await answer.json() == {"code": 401, "error": "unauthorized"}


async def test_an_anonymous_browser_is_sent_to_the_login_page(client: TestClient[Any, Any], config: Any) -> None:
    answer = await client.get("/medic/_all_docs?limit=1", headers={**ANONYMOUS, **BROWSER}, allow_redirects=False)

    assert answer.status == 302  # ERR-3
    expected = f"/{config.database}/login?redirect=%2F{config.database}%2F_all_docs%3Flimit%3D1"
    assert answer.headers["Location"] == expected
    assert answer.headers["logout-authorization"] == "CHT-Core API"


async def test_an_anonymous_device_gets_a_basic_prompt(client: TestClient[Any, Any]) -> None:
    device = {**ANONYMOUS, "User-Agent": "Dalvik/2.1 medic.gateway/1"}
    answer = await client.get("/medic/_all_docs", headers=device)

    assert answer.status == 401  # ERR-3
    assert answer.headers["WWW-Authenticate"] == 'Basic realm="Medic Web Services"'  # ERR-5
    assert await answer.text() == "not logged in"


async def test_settings_ask_even_a_browser_for_basic_credentials(client: TestClient[Any, Any]) -> None:
    answer = await client.get("/api/v1/settings", headers={**ANONYMOUS, **BROWSER}, allow_redirects=False)

    assert answer.status == 401  # ERR-3 first row, EP-SET-1
    assert answer.headers["WWW-Authenticate"] == 'Basic realm="Medic Web Services"'


async def test_a_permission_check_on_an_anonymous_request_is_401(client: TestClient[Any, Any]) -> None:
    answer = await client.put("/api/v1/settings", json={}, headers={**ANONYMOUS, **JSON})

    assert answer.status == 401  # PERM-20


async def test_wrong_credentials_are_401_but_not_on_public_routes(client: TestClient[Any, Any]) -> None:
    wrong = {**basic("nobody", "wrong"), **JSON}

    assert (await client.get("/api/v1/settings", headers=wrong)).status == 401  # AUTH-10, AUTH-32
    assert (await client.get("/medic/_all_docs", headers=wrong)).status == 401
    assert (await client.get("/api/v1/monitoring", headers=wrong)).status == 200  # AUTH-9


async def test_broken_base64_is_401(client: TestClient[Any, Any]) -> None:
    answer = await client.get("/medic/_all_docs", headers={"Authorization": "Basic not-base64!", **JSON})

    assert answer.status == 401  # AUTH-33


async def test_an_unreadable_cookie_is_400_as_couchdb_tells_it(client: TestClient[Any, Any]) -> None:
    answer = await client.get("/medic/_all_docs", headers={**ANONYMOUS, "Cookie": "AuthSession=not.a.cookie"})

    assert answer.status == 400  # AUTH-31
    assert await answer.json() == {
        "error": "bad_request",
        "reason": "Malformed AuthSession cookie. Please clear your cookies.",
    }


async def test_every_answer_carries_a_request_id_of_our_own(client: TestClient[Any, Any]) -> None:
    answer = await client.get("/api/info", headers={"X-Request-Id": "forged"})

    assert len(answer.headers["X-Request-Id"]) == 12  # AUTH-1
    assert int(answer.headers["X-Request-Id"], 16) >= 0
