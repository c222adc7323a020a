"""Single sign-on at an OpenID Connect provider, and the accounts it is for (AUTH-110)."""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncIterator
from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from aiohttp import ClientResponse
from aiohttp.test_utils import TestClient
from cryptography.hazmat.primitives.asymmetric import rsa

from core.couch.client import Couch, Database
from tests.api.oidc_provider import CLIENT_SECRET, OidcProvider

Client = TestClient[Any, Any]
SCRIPT = {"Authorization": "", "Cookie": "none=1"}
BROWSER = {**SCRIPT, "Accept": "text/html,*/*;q=0.8", "User-Agent": "Mozilla/5.0"}
FAILED = "/login?sso_error=loginerror"
OTHER_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)


@pytest.fixture
async def provider(client: Client) -> AsyncIterator[OidcProvider]:
    """A provider that the deployment is configured for, with an address of the test's own."""
    provider = OidcProvider()
    provider.email = f"asha-{secrets.token_hex(4)}@example.org"
    async with provider.server:
        assert (await client.put("/api/v1/settings", json={"oidc_provider": provider.settings})).status == 200
        stored = await client.put("/api/v1/credentials/oidc:client-secret", data=CLIENT_SECRET)
        assert stored.status == 200
        yield provider


def cookie(answer: ClientResponse, name: str) -> str | None:
    found = SimpleCookie("; ".join(answer.headers.getall("Set-Cookie", [])))
    return found[name].value if name in found and found[name].value else None


async def sent_away(client: Client, redirect: str = "/") -> tuple[str, str]:
    """The provider's address for a login that begins now, and the cookie that goes with it."""
    answer = await client.get(
        "/medic/login/oidc/authorize", params={"redirect": redirect}, headers=SCRIPT, allow_redirects=False
    )
    assert (answer.status, answer.headers.get("Location")) == (302, None), await answer.text()
    return await answer.text(), f"oidc={cookie(answer, 'oidc')}"


async def come_back(client: Client, url: str, kept: str) -> ClientResponse:
    """Log in at the provider and follow it back."""
    async with httpx.AsyncClient() as browser:
        back = urlsplit((await browser.get(url)).headers["Location"])
    headers = {**BROWSER, "Cookie": kept}
    return await client.get(f"{back.path}?{back.query}", headers=headers, allow_redirects=False)


async def sign_on(client: Client, redirect: str = "/") -> ClientResponse:
    return await come_back(client, *await sent_away(client, redirect))


async def test_who_the_provider_knows_is_logged_in(client: Client, provider: OidcProvider, make_user: Any) -> None:
    asha = await make_user("asha", roles=["data_entry"], oidc_username=provider.email)

    answer = await sign_on(client, "/#/reports")

    assert (answer.status, answer.headers["Location"]) == (302, "/#/reports"), answer.headers
    session = {"Authorization": "", "Cookie": f"AuthSession={cookie(answer, 'AuthSession')}"}
    told = await (await client.get("/_session", headers=session)).json()
    assert told["userCtx"] == {"name": asha.name, "roles": ["data_entry"]}  # AUTH-110
    assert asha.name in str(cookie(answer, "userCtx"))
    assert cookie(answer, "oidc") is None
    assert (await client.get("/medic/_all_docs?limit=1", headers=session)).status == 200


async def test_a_login_on_one_device_ends_none_on_another(
    client: Client, provider: OidcProvider, make_user: Any
) -> None:
    await make_user("asha", roles=["data_entry"], oidc_username=provider.email)
    first, second = await sign_on(client), await sign_on(client)

    for answer in (first, second):
        session = {"Authorization": "", "Cookie": f"AuthSession={cookie(answer, 'AuthSession')}"}
        assert (await client.get("/medic/_all_docs?limit=1", headers=session)).status == 200


async def test_a_browser_that_follows_the_link_needs_no_script(client: Client, provider: OidcProvider) -> None:
    page = await (await client.get("/medic/login", headers=BROWSER)).text()
    answer = await client.get("/medic/login/oidc/authorize", headers=BROWSER, allow_redirects=False)

    assert "/login/oidc/authorize?redirect=" in page
    assert (answer.status, answer.headers["Location"]) == (302, await answer.text())
    asked = parse_qs(urlsplit(answer.headers["Location"]).query)
    assert asked["redirect_uri"] == [str(client.make_url(urlsplit(asked["redirect_uri"][0]).path))]
    assert asked["redirect_uri"][0].endswith("/login/oidc")
    assert asked["code_challenge_method"] == ["S256"]


async def test_whom_nobody_entered_is_sent_to_the_login_page(client: Client, provider: OidcProvider) -> None:
    answer = await sign_on(client)

    assert answer.status == 302
    assert answer.headers["Location"].endswith("/login?sso_error=ssouserinvalid")  # AUTH-110, AUTH-51
    assert cookie(answer, "AuthSession") is None
    page = await client.get(answer.headers["Location"], headers=BROWSER)
    assert "There is no account here for this identity" in await page.text()


NOW = int(time.time())
LIES: dict[str, dict[str, Any]] = {
    "signed by another key": {"key": OTHER_KEY},
    "not signed": {"key": None, "algorithm": "none"},
    "signed with what the client knows": {"key": CLIENT_SECRET.encode().ljust(32), "algorithm": "HS256"},
    "for another client": {"claims": {"aud": "other"}},
    "for several, made for another": {"claims": {"aud": ["outpost", "other"], "azp": "other"}},
    "by another issuer": {"claims": {"iss": "https://elsewhere.example.org"}},
    "expired": {"claims": {"iat": NOW - 900, "exp": NOW - 600}},
    "of another login": {"claims": {"nonce": "other"}},
    "with an address nobody verified": {"claims": {"email_verified": False}},
    "without an address": {"claims": {"email": None}},
    "without an end": {"claims": {"exp": None}},
}


async def test_an_id_token_that_proves_nothing_logs_nobody_in(
    client: Client, provider: OidcProvider, make_user: Any
) -> None:
    await make_user("asha", roles=["data_entry"], oidc_username=provider.email)
    truth = dict(vars(provider))
    answers = {}
    for lie, said in LIES.items():
        vars(provider).update(truth | said)
        answers[lie] = await sign_on(client)
    vars(provider).update(truth)

    for lie, answer in answers.items():
        assert (answer.status, cookie(answer, "AuthSession")) == (302, None), lie
        assert answer.headers["Location"].endswith(FAILED), lie
    assert cookie(await sign_on(client), "AuthSession")


async def test_a_login_is_only_taken_back_where_it_began(
    client: Client, provider: OidcProvider, make_user: Any
) -> None:
    await make_user("asha", roles=["data_entry"], oidc_username=provider.email)
    url, kept = await sent_away(client)
    _, of_another = await sent_away(client)
    attempts = {
        "no cookie": await come_back(client, url, "none=1"),
        "another's cookie": await come_back(client, url, of_another),
        "a cookie cut short": await come_back(client, url, kept[:-5]),
    }
    for query in ("", "?state=x", "?error=access_denied", f"?code=made-up&{urlsplit(url).query}"):
        headers = {**BROWSER, "Cookie": kept}
        attempts[query] = await client.get(f"/medic/login/oidc{query}", headers=headers, allow_redirects=False)

    for attempt, answer in attempts.items():
        assert (answer.status, cookie(answer, "AuthSession")) == (302, None), attempt
        assert answer.headers["Location"].endswith(FAILED), attempt


async def test_two_accounts_of_one_identity_are_no_login(
    client: Client, provider: OidcProvider, make_user: Any
) -> None:
    for name in ("asha", "usha"):
        await make_user(name, roles=["data_entry"], oidc_username=provider.email)

    assert "sso_error=ssouserinvalid" in (await sign_on(client)).headers["Location"]


async def test_a_provider_that_is_away_is_told(client: Client, provider: OidcProvider) -> None:
    await provider.server.close()

    by_script = await client.get("/medic/login/oidc/authorize", headers=SCRIPT, allow_redirects=False)
    by_link = await client.get("/medic/login/oidc/authorize", headers=BROWSER, allow_redirects=False)

    assert (by_script.status, await by_script.json()) == (500, {"error": "Unexpected error logging in"})
    assert by_link.headers["Location"].endswith(FAILED)


async def test_there_is_no_single_sign_on_without_a_provider(client: Client) -> None:
    for path in ("/medic/login/oidc/authorize", "/medic/login/oidc?code=1"):
        assert (await client.get(path, headers=SCRIPT, allow_redirects=False)).status == 404
    assert "oidc" not in await (await client.get("/medic/login", headers=BROWSER)).text()


async def test_a_provider_must_use_https_unless_the_settings_say_otherwise(
    client: Client, provider: OidcProvider
) -> None:
    settings = {"oidc_provider": {**provider.settings, "allow_insecure_requests": False}}
    assert (await client.put("/api/v1/settings", json=settings)).status == 200

    answer = await client.get("/medic/login/oidc/authorize", headers=SCRIPT, allow_redirects=False)

    assert answer.status == 400
    assert "oidc_provider.discovery_url must be an address of https" in (await answer.json())["error"]


async def test_passwords_do_not_log_in_who_uses_single_sign_on(client: Client, make_user: Any) -> None:
    asha = await make_user("asha", roles=["chw"], oidc_username="asha@example.org")
    known = {"username": asha.name, "currentPassword": asha.password, "password": "Blue-kite-77-x"}

    login = await client.post("/medic/login", json={"user": asha.name, "password": asha.password}, headers=SCRIPT)
    reset = await client.post("/medic/password-reset", json=known, headers=SCRIPT)

    refusal = {"error": "Password Login Not Permitted For SSO Users"}
    assert (login.status, await login.json()) == (401, refusal)  # AUTH-110
    assert (reset.status, await reset.json()) == (400, {"error": "Password Reset Not Permitted For SSO Users"})
    assert cookie(login, "AuthSession") is None


async def test_links_do_not_log_in_who_uses_single_sign_on(client: Client, db: Database, make_user: Any) -> None:
    assert (await client.put("/api/v1/settings", json={"token_login": {"enabled": True}})).status == 200
    token = "a" * 64
    held = {"active": True, "token": token, "expiration_date": time.time() * 1000 + 60_000}
    asha = await make_user("asha", roles=["chw"], oidc_username="asha@example.org", token_login=held)
    link = {"_id": f"token:login:{token}", "type": "token_login", "user": f"org.couchdb.user:{asha.name}"}
    await db.put(link)

    answer = await client.post(f"/medic/login/token/{token}", json={}, headers=SCRIPT)

    assert (answer.status, await answer.json()) == (401, {"error": "Token login not allowed for SSO users"})


async def accounts(couch: Couch, db: Database, name: str) -> tuple[Any, Any]:
    doc_id = f"org.couchdb.user:{name}"
    return await couch.db("_users").get(doc_id), await db.get(doc_id)


async def test_an_account_may_be_the_providers(client: Client, couch: Couch, db: Database) -> None:
    name, email = f"asha-{secrets.token_hex(4)}", f"{secrets.token_hex(4)}@example.org"
    new = {"username": name, "roles": ["data_entry"], "oidc_username": email}

    made = await client.post("/api/v1/users", json=new)
    again = await client.post("/api/v1/users", json={**new, "username": f"{name}-2"})
    both = await client.post("/api/v1/users", json={**new, "username": f"{name}-3", "password": "Blue-kite-77"})
    odd = await client.post("/api/v1/users", json={**new, "username": f"{name}-4", "oidc_username": 7})
    account, profile = await accounts(couch, db, name)
    listed = await (await client.get(f"/api/v2/users/{name}")).json()
    with_password = await client.post(f"/api/v1/users/{name}", json={"password": "Blue-kite-77"})
    without_way = await client.post(f"/api/v1/users/{name}", json={"oidc_username": None})
    turned = await client.post(f"/api/v1/users/{name}", json={"oidc_username": None, "password": "Blue-kite-77"})
    after, profile_after = await accounts(couch, db, name)
    login = await client.post("/medic/login", json={"user": name, "password": "Blue-kite-77"}, headers=SCRIPT)
    client.session.cookie_jar.clear()
    back = await client.post(f"/api/v1/users/{name}", json={"oidc_username": email})
    refused = await client.post("/medic/login", json={"user": name, "password": "Blue-kite-77"}, headers=SCRIPT)
    assert (await client.delete(f"/api/v1/users/{name}")).status == 200

    assert made.status == 200  # EP-USR §9.1
    assert [answer.status for answer in (again, both, odd, with_password, without_way)] == [400] * 5
    assert (account["oidc_username"], profile["oidc_login"]) == (email, True)  # MOD-64
    assert account["derived_key"]
    assert listed["oidc_username"] == email
    assert turned.status == 200
    assert "oidc_username" not in after
    assert "oidc_login" not in profile_after
    assert (login.status, back.status, refused.status) == (302, 200, 401)
