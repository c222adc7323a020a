"""Cross-origin requests of browsers."""

from __future__ import annotations

import pytest

from tests.store.store_client import Client

CONFIG = "/_node/_local/_config"
ORIGIN = {"Origin": "https://app.example"}


@pytest.fixture
async def cors(store: Client) -> Client:
    """A store that lets one origin in."""
    await store.put(f"{CONFIG}/chttpd/enable_cors", "true")
    await store.put(f"{CONFIG}/cors/origins", "https://app.example, https://other.example")
    return store


async def test_no_origin_is_allowed_unless_enabled(store: Client) -> None:
    assert "Access-Control-Allow-Origin" not in (await store.get("/", headers=ORIGIN)).headers
    asked = await store.ask("OPTIONS", "/", headers={**ORIGIN, "Access-Control-Request-Method": "GET"})
    assert asked.status == 405


async def test_named_origin_may_read_answers_and_errors(cors: Client, db: str) -> None:
    for path, status in ((db, 200), (f"{db}/_changes", 200), (f"{db}/none", 404)):
        answer = await cors.get(path, headers=ORIGIN)
        assert (answer.status, answer.headers["Access-Control-Allow-Origin"]) == (status, "https://app.example")
        assert "etag" in answer.headers["Access-Control-Expose-Headers"]
        assert "Access-Control-Allow-Credentials" not in answer.headers


async def test_other_origin_may_not(cors: Client) -> None:
    assert "Access-Control-Allow-Origin" not in (await cors.get("/", headers={"Origin": "https://bad.example"})).headers
    assert "Access-Control-Allow-Origin" not in (await cors.get("/")).headers


async def test_preflight_needs_no_login(cors: Client) -> None:
    headers = {
        **ORIGIN,
        "Access-Control-Request-Method": "PUT",
        "Access-Control-Request-Headers": "content-type, authorization",
    }

    answer = await cors.ask("OPTIONS", "/db/doc", user=None, headers=headers)

    assert (answer.status, answer.raw) == (204, b"")
    assert answer.headers["Access-Control-Allow-Origin"] == "https://app.example"
    assert "PUT" in answer.headers["Access-Control-Allow-Methods"]
    assert answer.headers["Access-Control-Allow-Headers"] == "content-type, authorization"
    assert answer.headers["Access-Control-Max-Age"] == "600"


@pytest.mark.parametrize(
    "asked",
    [
        {"Access-Control-Request-Method": "PATCH"},
        {"Access-Control-Request-Method": "PUT", "Access-Control-Request-Headers": "x-foo"},
        {},
    ],
)
async def test_preflight_for_what_is_not_allowed_is_405(cors: Client, db: str, asked: dict[str, str]) -> None:
    answer = await cors.ask("OPTIONS", f"{db}/doc", headers={**ORIGIN, **asked})

    assert answer.status == 405
    assert "Access-Control-Allow-Methods" not in answer.headers


async def test_credentials_methods_headers_and_age_come_from_the_config(cors: Client) -> None:
    for key, value in (("credentials", "true"), ("methods", "GET, PUT"), ("headers", "x-foo"), ("max_age", "5")):
        await cors.put(f"{CONFIG}/cors/{key}", value)
    await cors.put(f"{CONFIG}/cors/origins", "*")
    origin = {"Origin": "https://any.example"}

    asked = {"Access-Control-Request-Method": "PUT", "Access-Control-Request-Headers": "X-Foo"}
    answer = await cors.ask("OPTIONS", "/db", user=None, headers={**origin, **asked})
    refused = await cors.ask("OPTIONS", "/", headers={**origin, "Access-Control-Request-Method": "POST"})

    assert answer.status == 204
    assert answer.headers["Access-Control-Allow-Origin"] == "https://any.example"
    assert answer.headers["Access-Control-Allow-Credentials"] == "true"
    assert answer.headers["Access-Control-Allow-Methods"] == "GET, PUT"
    assert answer.headers["Access-Control-Max-Age"] == "5"
    assert refused.status == 405
