"""The browser's login: page, password, identity, logout (10 §4)."""

from __future__ import annotations

import base64
from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import unquote

import orjson
import pytest
from aiohttp import ClientResponse
from aiohttp.test_utils import TestClient
from multidict import MultiDict

from api.login_session import redirect_target
from core.config import Config
from core.couch.client import Couch, Database

Client = TestClient[Any, Any]
ANONYMOUS = {"Authorization": "", "Cookie": "none=1"}


def cookies_of(answer: ClientResponse) -> SimpleCookie:
    return SimpleCookie("\n".join(answer.headers.getall("Set-Cookie", [])).replace("\n", "; "))


def set_cookies(answer: ClientResponse) -> dict[str, str]:
    """Each `Set-Cookie` header by its cookie's name."""
    return {value.partition("=")[0]: value for value in answer.headers.getall("Set-Cookie", [])}


async def log_in(client: Client, login: Any, **members: Any) -> ClientResponse:
    body = {"user": login.name, "password": login.password, **members}
    return await client.post("/medic/login", json=body, headers=ANONYMOUS, allow_redirects=False)


async def test_the_right_password_sets_the_cookies_and_says_where_to_go(client: Client, make_user: Any) -> None:
    asha = await make_user("asha", roles=["chw"])
    answer = await log_in(client, asha, redirect="/#/reports", locale="sw")

    assert answer.status == 302  # AUTH-60, AUTH-61
    assert "Location" not in answer.headers
    assert await answer.text() == "/#/reports"
    cookies = set_cookies(answer)  # AUTH-62
    assert set(cookies) == {"AuthSession", "userCtx", "locale", "login"}
    assert "HttpOnly" in cookies["AuthSession"]
    assert all("SameSite=Lax" in cookies[name] for name in ("AuthSession", "userCtx", "locale"))
    assert "Max-Age=31536000" in cookies["userCtx"]
    assert cookies["locale"].startswith("locale=sw;")
    assert "Secure" not in cookies["AuthSession"]
    user_context = unquote(cookies["userCtx"].partition("=")[2].partition(";")[0])
    assert orjson.loads(user_context) == {"name": asha.name, "roles": ["chw"]}  # AUTH-63: no home


async def test_the_session_cookie_logs_in(client: Client, make_user: Any) -> None:
    asha = await make_user("asha", roles=["data_entry"])
    session = cookies_of(await log_in(client, asha))["AuthSession"].value

    with_cookie = {"Authorization": "", "Cookie": f"AuthSession={session}"}
    answer = await client.get("/_session", headers=with_cookie)
    assert (await answer.json())["userCtx"] == {"name": asha.name, "roles": ["data_entry"]}  # AUTH-41
    assert (await client.get("/medic/_all_docs?limit=1", headers=with_cookie)).status == 200


async def test_cookies_are_secure_where_the_client_uses_https(client: Client, make_user: Any) -> None:
    asha = await make_user("asha", roles=["chw"])
    body = {"user": asha.name, "password": asha.password}
    headers = {**ANONYMOUS, "X-Forwarded-Proto": "https"}
    answer = await client.post("/medic/login", json=body, headers=headers, allow_redirects=False)

    assert all("Secure" in set_cookies(answer)[name] for name in ("AuthSession", "userCtx", "locale"))  # AUTH-62


async def test_who_may_configure_is_sent_to_the_administration(client: Client, make_user: Any) -> None:
    officer = await make_user("officer", roles=["program_officer"])
    answer = await log_in(client, officer)

    assert await answer.text() == "/admin/"  # AUTH-63
    assert "%22home%22%3A%22%2Fadmin%2F%22" in set_cookies(answer)["userCtx"]


async def test_the_locale_is_the_chosen_one_else_the_users_else_the_settings(client: Client, make_user: Any) -> None:
    asha = await make_user("asha", roles=["chw"], language="fr")
    juma = await make_user("juma", roles=["chw"])

    chosen = set_cookies(await log_in(client, asha, locale="sw"))["locale"]
    own = set_cookies(await log_in(client, asha))["locale"]
    of_settings = set_cookies(await log_in(client, juma))["locale"]
    assert [each[:10] for each in (chosen, own, of_settings)] == ["locale=sw;", "locale=fr;", "locale=en;"]  # AUTH-65


@pytest.mark.parametrize("accept", ["text/html", "application/json"])
async def test_a_wrong_password_is_401_in_json_without_cookies(client: Client, make_user: Any, accept: str) -> None:
    asha = await make_user("asha", roles=["chw"])
    body = {"user": asha.name, "password": "wrong"}
    answer = await client.post("/medic/login", json=body, headers={**ANONYMOUS, "Accept": accept})

    assert answer.status == 401  # AUTH-66, AUTH-68
    assert await answer.json() == {"error": "Not logged in"}
    assert "Set-Cookie" not in answer.headers


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"user": "x"}, "`password` is required and must be text"),
        ({"password": "x"}, "`user` is required and must be text"),
        ({"user": {"$gt": ""}, "password": "x"}, "`user` is required and must be text"),
        ([], "The request body must be a JSON object"),
    ],
)
async def test_an_incomplete_login_says_what_is_missing(client: Client, body: Any, reason: str) -> None:
    answer = await client.post("/medic/login", json=body, headers=ANONYMOUS)

    assert (answer.status, await answer.json()) == (400, {"error": reason})


async def test_a_login_of_another_media_type_is_400(client: Client) -> None:
    answer = await client.post("/medic/login", data=b"{}", headers={**ANONYMOUS, "Content-Type": "text/plain"})

    assert (answer.status, await answer.json()) == (400, {"error": "Content-Type must be application/json"})  # AUTH-14


async def test_the_server_administrator_gets_account_documents_at_the_first_login(
    client: Client, config: Config, couch: Couch, db: Database
) -> None:
    name, password = config.couch_admin
    body = {"user": name, "password": password}
    first = await client.post("/medic/login", json=body, headers=ANONYMOUS, allow_redirects=False)
    second = await client.post("/medic/login", json=body, headers=ANONYMOUS, allow_redirects=False)

    assert (first.status, second.status) == (302, 302)  # AUTH-21
    login = await couch.db("_users").get(f"org.couchdb.user:{name}")
    profile = await db.get(f"org.couchdb.user:{name}")
    assert (login["type"], login["roles"]) == ("user", ["admin", "mm-online"])
    assert (profile["type"], profile["roles"]) == ("user-settings", ["admin", "mm-online"])


@pytest.mark.parametrize(
    ("redirect", "target"),
    [
        (None, "/home"),
        ("", "/home"),
        ("/#/reports", "/#/reports"),
        ("/medic/x?a=b#c", "/medic/x?a=b#c"),
        ("https://elsewhere.example/path?q=1", "/path?q=1"),
        ("//elsewhere.example/path", "/path"),
        ("reports", "/reports"),
        ("javascript:alert(1)", "/alert(1)"),
        ("/a//b", "/home"),
        ("/%2F%2Felsewhere.example", "/home"),
        ("/%252F%252Felsewhere.example", "/home"),
        ("/\\elsewhere.example", "/home"),
        ("/%5Celsewhere.example", "/home"),
        ("http://[broken", "/home"),
    ],
)
def test_a_redirect_never_leaves_this_host(redirect: str | None, target: str) -> None:  # AUTH-64
    assert redirect_target(redirect, "/home") == target


async def test_identity_gives_a_fresh_user_context(client: Client, make_user: Any) -> None:
    asha = await make_user("asha", roles=["chw"])
    answer = await client.get("/medic/login/identity", headers=asha)

    assert (answer.status, await answer.json()) == (200, {"success": True})  # AUTH-70
    assert "Max-Age=31536000" in set_cookies(answer)["userCtx"]


async def test_identity_without_a_session_is_an_empty_401(client: Client) -> None:
    answer = await client.get("/medic/login/identity", headers=ANONYMOUS)

    assert (answer.status, await answer.read()) == (401, b"")  # AUTH-70
    assert answer.content_type == "application/json"
    assert answer.headers["logout-authorization"] == "CHT-Core API"  # ERR-6


async def test_logout_clears_the_cookies_and_forces_a_new_login(client: Client, config: Config) -> None:
    answer = await client.get("/medic/logout", headers=ANONYMOUS, allow_redirects=False)

    assert (answer.status, answer.headers["Location"]) == (302, f"/{config.database}/login")  # AUTH-72
    cookies = set_cookies(answer)
    assert all("Max-Age=0" in cookies[name] for name in ("AuthSession", "userCtx"))
    assert cookies["login"].startswith("login=force;")


async def test_the_page_is_public_and_branded(client: Client, db: Database) -> None:
    logo = base64.b64encode(b"picture").decode()
    attachments = {"logo.png": {"content_type": "image/png", "data": logo}}
    branding = {"_id": "branding", "title": "Afya <Yetu>", "resources": {"logo": "logo.png"}}
    await db.put({**branding, "_attachments": attachments})
    answer = await client.get("/medic/login?redirect=%22%3E%3Cscript%3E", headers=ANONYMOUS)
    page = await answer.text()

    assert answer.status == 200  # AUTH-50
    assert "<title>Afya &lt;Yetu&gt;</title>" in page
    assert f"data:image/png;base64,{logo}" in page
    assert '"><script>' not in page
    assert "</login/style.css>; rel=preload" in answer.headers["Link"]
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]


async def test_the_page_offers_the_enabled_languages(client: Client, db: Database) -> None:
    sw = {"_id": "messages-sw", "type": "translations", "code": "sw", "name": "Kiswahili", "enabled": True}
    await db.put({**sw, "custom": {"login": "Ingia"}})
    one = await (await client.get("/medic/login", headers=ANONYMOUS)).text()
    enabled = [{"locale": "en", "enabled": True}, {"locale": "sw", "enabled": True}]
    assert (await client.put("/api/v1/settings", json={"languages": enabled})).status == 200
    two = await (await client.get("/medic/login", headers={**ANONYMOUS, "Accept-Language": "sw-KE,en;q=0.5"})).text()

    assert "<select" not in one  # AUTH-50: hidden when fewer than two
    assert '<option value="sw" selected>Kiswahili</option>' in two  # AUTH-4
    assert '<button id="submit" type="submit" data-key="login">Ingia</button>' in two


async def test_the_page_works_as_a_plain_form(client: Client, make_user: Any) -> None:
    asha = await make_user("asha", roles=["chw"])
    fields = MultiDict({"user": asha.name, "password": asha.password, "redirect": "/#/tasks"})
    right = await client.post("/medic/login", data=fields, headers=ANONYMOUS, allow_redirects=False)
    wrong = await client.post("/medic/login", data={**fields, "password": "x"}, headers=ANONYMOUS)

    assert (right.status, right.headers["Location"]) == (303, "/#/tasks")
    assert "AuthSession" in set_cookies(right)
    assert wrong.status == 401
    assert f'value="{asha.name}"' in await wrong.text()


@pytest.mark.parametrize("origin", ["https://elsewhere.example", "null"])
async def test_a_form_of_another_site_is_refused(client: Client, make_user: Any, origin: str) -> None:
    asha = await make_user("asha", roles=["chw"])
    fields = {"user": asha.name, "password": asha.password}
    headers = {**ANONYMOUS, "Origin": origin}
    answer = await client.post("/medic/login", data=fields, headers=headers, allow_redirects=False)

    assert answer.status == 403
    assert "Set-Cookie" not in answer.headers


@pytest.mark.parametrize(("name", "kind"), [("script.js", "application/javascript"), ("style.css", "text/css")])
async def test_the_pages_files_are_served(client: Client, name: str, kind: str) -> None:
    answer = await client.get(f"/login/{name}", headers=ANONYMOUS)

    assert (answer.status, answer.content_type) == (200, kind)  # AUTH-50
