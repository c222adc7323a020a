"""What answers tell browsers, and whose word on the client's connection counts (AUTH-7, AUTH-16, AUTH-17)."""

from __future__ import annotations

from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from api.app import create_app
from core.config import Config
from core.couch.client import Couch, Database
from tests.conftest import Background, basic

Client = TestClient[Any, Any]
GUARDS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "SAMEORIGIN",
    "X-DNS-Prefetch-Control": "off",
    "X-Download-Options": "noopen",
}


@pytest.mark.parametrize("path", ["/api/info", "/medic/login", "/medic/_all_docs?limit=0", "/medic/nothing", "/dbinfo"])
async def test_every_answer_is_guarded(client: Client, path: str) -> None:
    answer = await client.get(path)

    assert {name: answer.headers[name] for name in GUARDS} == GUARDS  # AUTH-7
    assert answer.headers["Strict-Transport-Security"].startswith("max-age=")
    assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")


async def test_the_policy_names_the_builds_server(couch: Couch, config: Config, indexer: Background) -> None:
    changed = config.replace(builds_url="https://builds.example.org/_couch/builds")
    async with TestClient(TestServer(create_app(changed))) as client:
        policy = (await client.get("/api/info")).headers["Content-Security-Policy"]

    assert "connect-src 'self' https://builds.example.org maps.googleapis.com;" in policy  # AUTH-7
    assert "script-src 'self' 'unsafe-eval';" in policy
    assert "img-src 'self' data: blob: *.openstreetmap.org;" in policy


async def test_couchdbs_own_policy_of_an_attachment_stays(client: Client, db: Database) -> None:
    page = {"page.html": {"content_type": "text/html", "data": "PHA+"}}
    await db.put({"_id": "with-page", "_attachments": page})
    answer = await client.get("/medic/with-page/page.html")
    own = await couch_policy(db)

    assert answer.headers.getall("Content-Security-Policy") == [own] if own else ["default-src 'none'"]


async def couch_policy(db: Database) -> str:
    url = f"{db.couch.server_url}/{db.name}/with-page/page.html"
    async with db.couch.session.get(url, headers={"Authorization": db.couch.authorization}) as answer:
        return answer.headers.get("Content-Security-Policy", "")


async def test_other_origins_are_not_let_in(client: Client) -> None:
    answer = await client.get("/api/info", headers={"Origin": "https://elsewhere.example"})

    assert not [name for name in answer.headers if name.lower().startswith("access-control-")]  # AUTH-16


@pytest.mark.parametrize("path", ["/api/info", "/medic/_all_docs?limit=0", "/api/v1/settings"])
async def test_cors_can_be_switched_on(couch: Couch, config: Config, indexer: Background, path: str) -> None:
    async with TestClient(TestServer(create_app(config.replace(allow_cors=True)))) as client:
        answer = await client.get(path, headers={"Origin": "https://app.example", **basic(*config.couch_admin)})
        plain = await client.get(path)
        host = client.make_url("/").authority

    assert answer.headers["Access-Control-Allow-Origin"] == "https://app.example"  # AUTH-16
    assert answer.headers["Access-Control-Allow-Methods"] == "GET, POST, PUT, OPTIONS, HEAD, DELETE"
    assert answer.headers["Access-Control-Allow-Credentials"] == "true"
    assert plain.headers["Access-Control-Allow-Origin"] == host


@pytest.mark.parametrize(
    ("trusted", "forwarded", "secure"),
    [
        ("", "https", True),
        ("", "http", False),
        ("127.0.0.1", "https, http", True),
        ("127.0.0.0/30", "https", True),
        ("10.0.0.0/8, ::1", "https", False),
        ("none", "https", False),
    ],
)
async def test_https_is_believed_of_trusted_proxies_only(
    couch: Couch, config: Config, indexer: Background, trusted: str, forwarded: str, secure: bool
) -> None:
    networks = Config.from_env({"OUTPOST_TRUSTED_PROXIES": trusted}).trusted_proxies
    async with TestClient(TestServer(create_app(config.replace(trusted_proxies=networks)))) as client:
        headers = {**basic(*config.couch_admin), "X-Forwarded-Proto": forwarded}
        answer = await client.get("/medic/login/identity", headers=headers)

    assert ("Secure" in answer.headers["Set-Cookie"]) is secure  # AUTH-17


@pytest.mark.parametrize("text", ["proxy.example", "10.0.0.0/99", "10.0.0.1;10.0.0.2"])
def test_a_wrong_list_of_proxies_is_named(text: str) -> None:
    with pytest.raises(ValueError, match="OUTPOST_TRUSTED_PROXIES must be addresses or networks"):
        Config.from_env({"OUTPOST_TRUSTED_PROXIES": text})
