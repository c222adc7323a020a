"""The browser's applications and who reaches them (AUTH-132, PROXY-36, PROXY-37)."""

from __future__ import annotations

import base64
from typing import Any

from aiohttp.test_utils import TestClient

from core.couch.client import Database

Client = TestClient[Any, Any]
ANONYMOUS = {"Authorization": ""}
BROWSER = {"User-Agent": "Mozilla/5.0", "Accept": "text/html,*/*;q=0.8"}
PROGRAM = {"User-Agent": "", "Accept": "*/*"}
JSON = {"Accept": "application/json"}
FIREWALL = {
    "code": 403,
    "error": "forbidden",
    "details": "Offline users are not allowed access to this endpoint",
}


async def attach(db: Database, ddoc_id: str, **files: tuple[str, str]) -> None:
    attachments = {
        name.replace("_", "."): {"content_type": kind, "data": base64.b64encode(text.encode()).decode()}
        for name, (kind, text) in files.items()
    }
    await db.put({**await db.get(ddoc_id), "_attachments": attachments})


async def test_the_root_is_the_app_where_one_is_installed(client: Client, db: Database, make_user: Any) -> None:
    chw = await make_user("chw", roles=["chw"])
    before = await client.get("/", headers={**ANONYMOUS, **BROWSER})
    await attach(db, "_design/medic", index_html=("text/html", "<p>the app</p>"))

    stranger = await client.get("/", headers={**ANONYMOUS, **BROWSER}, allow_redirects=False)
    person = await client.get("/", headers={**chw, **BROWSER})
    program = await client.get("/", headers={**ANONYMOUS, **PROGRAM})
    couch = await client.get("/", headers={**ANONYMOUS, **JSON})
    again = await client.get("/", headers={**chw, **BROWSER, "If-None-Match": person.headers["ETag"]})

    assert (await before.json(content_type=None))["couchdb"] == "Welcome"
    assert (stranger.status, "/login?redirect=%2F" in stranger.headers["Location"]) == (302, True)  # ERR-3
    for answer in (person, program):
        assert (answer.status, answer.content_type, await answer.text()) == (200, "text/html", "<p>the app</p>")
    assert (await couch.json())["couchdb"] == "Welcome"  # PROXY-37
    assert (again.status, await again.read()) == (304, b"")


async def test_the_administration_is_for_online_users(client: Client, db: Database, make_user: Any) -> None:
    chw, clerk = await make_user("chw", roles=["chw"]), await make_user("clerk", roles=["data_entry"])
    ours = await client.get("/admin/", headers={**clerk, **BROWSER}, allow_redirects=False)
    files = {"index_html": ("text/html", "<p>admin</p>"), "main_js": ("application/javascript", "1")}
    await attach(db, "_design/medic-admin", **files)

    page = await client.get("/admin/", headers={**clerk, **BROWSER})
    script = await client.get("/admin/main.js", headers=clerk)
    missing = await client.get("/admin/../admin/other.js", headers=clerk)
    without_slash = await client.get("/admin", headers=clerk, allow_redirects=False)
    offline = [await client.get(path, headers=chw) for path in ("/admin/", "/admin/main.js", "/admin")]
    stranger = await client.get("/admin/", headers={**ANONYMOUS, **JSON})
    browser = await client.get("/admin/", headers={**ANONYMOUS, **BROWSER}, allow_redirects=False)

    assert (ours.status, ours.headers["Location"]) == (302, "/admin/overview")
    assert await page.text() == "<p>admin</p>"  # PROXY-37
    assert (script.content_type, await script.text()) == ("application/javascript", "1")
    assert missing.status == 404
    assert (without_slash.status, without_slash.headers["Location"]) == (302, "/admin/")
    for answer in offline:
        assert (answer.status, await answer.json()) == (403, FIREWALL)  # ERR-11
    assert stranger.status == 401
    assert "login?redirect=%2Fadmin%2F" in browser.headers["Location"]


async def test_the_address_of_old_leads_to_the_new(client: Client) -> None:
    answer = await client.get("/medic/_design/medic/_rewrite/", headers={**ANONYMOUS, **BROWSER})

    page = await answer.text()
    assert (answer.status, answer.headers["Clear-Site-Data"]) == (200, '"cache"')  # PROXY-36
    assert 'content="0; url=/"' in page
    assert "manifest" not in page


async def test_what_is_not_the_page_of_old_asks_people_to_log_in(client: Client) -> None:
    path = "/medic/_design/medic/_rewrite/anything"
    answer = await client.get(path, headers={**ANONYMOUS, **BROWSER}, allow_redirects=False)

    assert answer.status == 302  # PROXY-31
    assert "/login?redirect=" in answer.headers["Location"]


async def test_who_may_read_what_can_be_asked(client: Client, db: Database, make_user: Any) -> None:
    chw, clerk = await make_user("chw", roles=["chw"]), await make_user("clerk", roles=["data_entry"])
    await db.put({"_id": "doc"})

    async def ask(path: str, headers: Any) -> tuple[int, str]:
        answer = await client.get(f"/api/auth/{path}", headers=headers)
        return answer.status, await answer.text()

    assert await ask(f"{db.name}/doc", clerk) == (200, '{"status":200}')  # AUTH-132
    assert await ask(f"{db.name}/none", clerk) == (403, "Forbidden")
    assert await ask(f"{db.name}-vault", clerk) == (403, "Forbidden")
    assert await ask(f"{db.name}-vault", {}) == (200, '{"status":200}')
    assert (await ask(f"{db.name}-user-{clerk.name}-meta/_design/way/_rewrite", clerk))[0] == 403  # by whatever method
    assert (await ask(f"{db.name}/doc", chw))[0] == 403
    assert (await ask(f"{db.name}/doc", {**ANONYMOUS, **JSON}))[0] == 401
