"""Logging in at an OpenID Connect provider: where to send the browser, and who comes back (AUTH-110).

Authorization code flow with PKCE. Sources: OpenID Connect Core 1.0 and Discovery 1.0, RFC 7636.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import quote_plus, urlencode, urlsplit

import httpx
import jwt

from core.errors import InvalidInput, Unauthorized, Unavailable
from core.settings import Settings

SECRET_KEY = "oidc:client-secret"  # of the credentials in the vault
DISCOVERY = "/.well-known/openid-configuration"
# Signatures by a key that only the provider has; never `none`, never the client's secret.
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
ENDPOINTS = ("authorization_endpoint", "token_endpoint", "jwks_uri")
SCOPE = "openid email"
LEEWAY_S = 60
TIMEOUT_S = 10.0
ATTEMPT_S = 600


class SsoRefused(Unauthorized):
    """The provider did not prove who came back."""


@dataclass(frozen=True)
class Attempt:
    """One login on its way through the provider, kept by the browser in a signed cookie."""

    state: str
    nonce: str
    verifier: str
    redirect: str

    @classmethod
    def new(cls, redirect: str) -> Self:
        return cls(secrets.token_urlsafe(24), secrets.token_urlsafe(24), secrets.token_urlsafe(48), redirect)

    @property
    def challenge(self) -> str:
        digest = hashlib.sha256(self.verifier.encode()).digest()
        return base64.urlsafe_b64encode(digest).decode().rstrip("=")

    def sealed(self, key: bytes, now_s: float) -> str:
        return jwt.encode({**self.__dict__, "exp": int(now_s) + ATTEMPT_S}, key, "HS256")

    @classmethod
    def unsealed(cls, value: str, key: bytes) -> Self:
        """SsoRefused for a cookie that is not ours or too old."""
        try:
            members = jwt.decode(value, key, algorithms=["HS256"], options={"require": ["exp"]})
            return cls(*(str(members[name]) for name in ("state", "nonce", "verifier", "redirect")))
        except (jwt.PyJWTError, KeyError) as error:
            raise SsoRefused("the login was not begun here, or too long ago") from error


@dataclass(frozen=True)
class Provider:
    """`settings.oidc_provider`: `discovery_url`, `client_id`, and `allow_insecure_requests` for one without HTTPS."""

    discovery_url: str
    client_id: str
    insecure: bool

    @classmethod
    def from_settings(cls, settings: Settings) -> Self | None:
        """None where no provider is configured. InvalidInput names what is wrong with one."""
        if not settings.get("oidc_provider"):
            return None
        section = settings.section("oidc_provider")
        for name in ("discovery_url", "client_id"):
            if not isinstance(section.get(name), str) or not section[name]:
                raise InvalidInput(f"oidc_provider.{name} must be text")
        provider = cls(section["discovery_url"], section["client_id"], section.get("allow_insecure_requests") is True)
        provider.check_url("oidc_provider.discovery_url", provider.discovery_url)
        return provider

    def check_url(self, name: str, url: Any) -> None:
        schemes = ("https", "http") if self.insecure else ("https",)
        if not isinstance(url, str) or urlsplit(url).scheme not in schemes:
            raise InvalidInput(f"{name} must be an address of {' or '.join(schemes)}")

    async def discover(self, client: httpx.AsyncClient) -> Mapping[str, Any]:
        """The provider's own description. Unavailable when it does not answer with one."""
        url = (
            self.discovery_url if "/.well-known/" in self.discovery_url else self.discovery_url.rstrip("/") + DISCOVERY
        )
        found = await fetch_json(client, "GET", url)
        if not isinstance(found.get("issuer"), str):
            raise Unavailable(f"{url} names no issuer")
        for name in ENDPOINTS:
            self.check_url(name, found.get(name))
        return found

    async def authorization_url(self, attempt: Attempt, redirect_uri: str) -> str:
        async with client_of() as client:
            endpoint = (await self.discover(client))["authorization_endpoint"]
        query = {
            "response_type": "code",
            "client_id": self.client_id,
            "redirect_uri": redirect_uri,
            "scope": SCOPE,
            "state": attempt.state,
            "nonce": attempt.nonce,
            "code_challenge": attempt.challenge,
            "code_challenge_method": "S256",
        }
        return f"{endpoint}{'&' if '?' in endpoint else '?'}{urlencode(query)}"

    async def username(self, attempt: Attempt, code: str, redirect_uri: str, secret: str | None) -> str:
        """The `email` that the provider vouches for to whom `code` was given. SsoRefused, Unavailable."""
        async with client_of() as client:
            described = await self.discover(client)
            token = await self.exchange(client, described, attempt, code, redirect_uri, secret)
            keys = await fetch_json(client, "GET", described["jwks_uri"])
        claims = self.verified(token, keys, described["issuer"])
        if not hmac.compare_digest(str(claims.get("nonce")).encode(), attempt.nonce.encode()):
            raise SsoRefused("the ID token is not of this login")
        email = claims.get("email")
        if not isinstance(email, str) or not email or claims.get("email_verified") is False:
            raise SsoRefused("the ID token has no verified email")
        return email

    async def exchange(
        self,
        client: httpx.AsyncClient,
        described: Mapping[str, Any],
        attempt: Attempt,
        code: str,
        redirect_uri: str,
        secret: str | None,
    ) -> str:
        """The ID token for the code."""
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": redirect_uri}
        form |= {"client_id": self.client_id, "code_verifier": attempt.verifier}
        headers = {}
        if secret is not None and "client_secret_basic" in described.get(
            "token_endpoint_auth_methods_supported", ["client_secret_basic"]
        ):
            login = f"{quote_plus(self.client_id)}:{quote_plus(secret)}"
            headers["Authorization"] = "Basic " + base64.b64encode(login.encode()).decode()
        elif secret is not None:
            form["client_secret"] = secret
        answer = await fetch_json(client, "POST", described["token_endpoint"], data=form, headers=headers)
        token = answer.get("id_token")
        if not isinstance(token, str):
            raise SsoRefused("the provider gave no ID token")
        return token

    def verified(self, token: str, keys: Mapping[str, Any], issuer: str) -> dict[str, Any]:
        """The claims of an ID token that is signed by the provider, for us, and now."""
        try:
            kid = jwt.get_unverified_header(token).get("kid")
            found = [key for key in jwt.PyJWKSet.from_dict(dict(keys)).keys if kid is None or key.key_id == kid]
            if not found:
                raise SsoRefused("the ID token is signed by a key that the provider does not publish")
            claims: dict[str, Any] = jwt.decode(
                token,
                found[0],
                algorithms=list(ALGORITHMS),
                audience=self.client_id,
                issuer=issuer,
                leeway=LEEWAY_S,
                options={"require": ["exp", "iat", "iss", "aud", "sub"]},
            )
        except jwt.PyJWTError as error:
            raise SsoRefused(f"the ID token is not valid: {error}") from error
        if claims.get("azp", self.client_id) != self.client_id:
            raise SsoRefused("the ID token was made for another client")
        return claims


def client_of() -> httpx.AsyncClient:
    return httpx.AsyncClient(timeout=TIMEOUT_S, headers={"Accept": "application/json"})


async def fetch_json(client: httpx.AsyncClient, method: str, url: str, **options: Any) -> dict[str, Any]:
    """The object of an answer. SsoRefused for a 4xx; Unavailable where the provider fails or says something else."""
    try:
        answer = await client.request(method, url, **options)
        body = answer.json() if answer.is_success else None
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        raise Unavailable(f"the identity provider at {url} does not answer: {error}") from error
    if answer.is_client_error:
        raise SsoRefused(f"the identity provider refuses: {url} answers {answer.status_code}")
    if not isinstance(body, dict):
        raise Unavailable(f"the identity provider at {url} answers {answer.status_code}, not a JSON object")
    return body
