"""Files with well-known names, and who was seen (AUTH-44, AUTH-122..126, AUTH-131)."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from aiohttp.test_utils import TestClient

from api.safe_html import safe_html
from core.config import Config
from core.couch.client import Couch, Database

Client = TestClient[Any, Any]
ANONYMOUS = {"Authorization": "", "Accept": "application/json"}


def attached(**files: tuple[str, str]) -> dict[str, Any]:
    return {
        name.replace("_", "."): {"content_type": kind, "data": base64.b64encode(text.encode()).decode()}
        for name, (kind, text) in files.items()
    }


@pytest.mark.parametrize(("path", "status"), [("/setup", 503), ("/setup/password", 503), ("/setup/finish", 200)])
@pytest.mark.parametrize("method", ["GET", "POST", "PUT"])
async def test_the_setup_pages_of_old_are_not_there(client: Client, path: str, status: int, method: str) -> None:
    answer = await client.request(method, path, headers=ANONYMOUS)

    assert (answer.status, await answer.text()) == (status, "Setup services are not currently available")  # AUTH-122


async def test_assetlinks_come_from_the_settings(client: Client) -> None:
    before = await client.get("/.well-known/assetlinks.json", headers={"Authorization": ""})
    links = [{"relation": ["delegate_permission/common.handle_all_urls"], "target": {"namespace": "android_app"}}]
    assert (await client.put("/api/v1/settings", json={"assetlinks": links})).status == 200
    after = await client.get("/.well-known/assetlinks.json", headers=ANONYMOUS)

    assert (before.status, await before.text()) == (404, "No assetlinks.json configured")  # AUTH-123
    assert (after.status, await after.json()) == (200, links)


async def test_the_favicon_is_ours_or_the_deployments(client: Client, db: Database) -> None:
    ours = await client.get("/favicon.ico", headers=ANONYMOUS)
    branding = {"_id": "branding", "resources": {"favicon": "fav.ico"}}
    await db.put({**branding, "_attachments": attached(fav_ico=("image/x-icon", "icon"))})
    theirs = await client.get("/favicon.ico", headers=ANONYMOUS)

    assert (ours.status, ours.content_type) == (200, "image/svg+xml")  # AUTH-124
    assert ours.headers["Cache-Control"] == "public, max-age=604800"
    assert (theirs.content_type, await theirs.read()) == ("image/x-icon", b"icon")


async def test_the_service_worker_is_the_apps(client: Client, db: Database) -> None:
    before = await client.get("/service-worker.js", headers=ANONYMOUS)
    app = await db.get("_design/medic")
    worker = {"service-worker.js": {"content_type": "text/plain", "data": base64.b64encode(b"self.x = 1;").decode()}}
    await db.put({**app, "_attachments": worker})
    after = await client.get("/service-worker.js", headers=ANONYMOUS)

    assert before.status == 404
    assert (after.content_type, await after.text()) == ("application/javascript", "self.x = 1;")  # AUTH-125
    assert after.headers["Cache-Control"] == "max-age=0"


async def test_the_privacy_policy_is_in_the_clients_language(client: Client, db: Database) -> None:
    missing = await client.get("/medic/privacy-policy", headers=ANONYMOUS)
    files = attached(en_html=("text/html", "<h1>Privacy</h1>"), fr_html=("text/html", "<h1>Confidentialité</h1>"))
    policies = {"fr": "fr.html", "en": "en.html", "sw": "lost.html"}
    await db.put({"_id": "privacy-policies", "privacy_policies": policies, "_attachments": files})

    async def text(cookie: str, query: str = "") -> str:
        headers = {**ANONYMOUS, "Cookie": f"locale={cookie}"}
        return await (await client.get(f"/medic/privacy-policy{query}", headers=headers)).text()

    assert missing.status == 404  # AUTH-126
    assert "<h1>Confidentialité</h1>" in await text("fr")
    assert "<h1>Privacy</h1>" in await text("sw")
    assert "<h1>Privacy</h1>" in await text("xx")
    assert 'href="/"' not in await text("fr")
    assert 'href="/"' in await text("fr", "?back")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<p onclick='x()'>a <b>b</b></p>", "<div><p>a <b>b</b></p></div>"),
        ("<script>x()</script>a", "<div>a</div>"),
        ("<p>a<script>x()</script>b</p>", "<div><p>ab</p></div>"),
        ("<a href='javascript:x()'>a</a>", "<div><a>a</a></div>"),
        ("<a href=' java\tscript:x()'>a</a>", "<div><a>a</a></div>"),
        ("<a href='&#106;avascript:x()'>a</a>", "<div><a>a</a></div>"),
        ("<a href='data:text/html,x'>a</a>", "<div><a>a</a></div>"),
        ("<a href='https://h.example/x'>a</a>", '<div><a href="https://h.example/x">a</a></div>'),
        ("<img src='x' onerror='x()'>", "<div><img></div>"),
        ("<img src='data:image/svg+xml;base64,AA'>", "<div><img></div>"),
        ("<img src='data:image/png;base64,AA=='>", '<div><img src="data:image/png;base64,AA=="></div>'),
        ("<svg><script>x()</script></svg>a", "<div>a</div>"),
        ("<iframe src='x'>y</iframe>a", "<div>a</div>"),
        ("<form action='x'><input name='y'>z</form>", "<div></div>"),
        ("<style>p{}</style><p style='x'>a</p>", "<div><p>a</p></div>"),
        ("<html><head><title>t</title></head><body><p>a</p></body></html>", "<div><p>a</p></div>"),
        ("<blink>a</blink>", "<div>a</div>"),
        ("a<!-- <script> -->b", "<div>ab</div>"),
        ("", "<div></div>"),
    ],
)
def test_only_plain_html_of_a_policy_is_shown(text: str, expected: str) -> None:
    assert safe_html(text) == expected


async def test_how_attachments_are_compressed_is_for_administrators(client: Client, make_user: Any) -> None:
    officer = await make_user("officer", roles=["program_officer"])
    answer = await client.get("/api/couch-config-attachments")
    refused = await client.get("/api/couch-config-attachments", headers={**officer, "Accept": "application/json"})

    assert answer.status == 200  # AUTH-131
    assert {"compressible_types", "compression_level"} <= set(await answer.json())
    assert refused.status == 401


async def test_who_asks_for_the_session_was_seen(client: Client, couch: Couch, config: Config, make_user: Any) -> None:
    asha, juma, zawadi = [await make_user(name, roles=["chw"]) for name in ("asha", "juma", "zawadi")]
    await client.get("/_session", headers=asha)
    await client.get("/_session", headers=asha)
    await client.post("/_session", json={"name": juma.name, "password": juma.password}, headers=ANONYMOUS)
    client.session.cookie_jar.clear()
    await client.post("/_session", json={"name": zawadi.name, "password": "wrong"}, headers=ANONYMOUS)
    await client.get("/dbinfo", headers=zawadi)
    seen = await couch.db(config.db_name("logs")).get_many(
        f"connected-user-{login.name}" for login in (asha, juma, zawadi)
    )

    assert {doc["user"] for doc in seen.values()} == {asha.name, juma.name, zawadi.name}  # AUTH-44, MOD-92
    assert {doc["_rev"].partition("-")[0] for doc in seen.values()} == {"1"}
