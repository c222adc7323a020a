"""A small OpenID Connect provider: discovery, authorization codes with PKCE, signed ID tokens, published keys."""

from __future__ import annotations

import base64
import hashlib
import secrets
import time
from typing import Any
from urllib.parse import urlencode

import jwt
from aiohttp import web
from aiohttp.test_utils import TestServer
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

CLIENT_ID, CLIENT_SECRET = "outpost", "s3cret: of the client"


class OidcProvider:
    """Logs everybody in as `email`. A test may change what is said: `claims`, `key`, `algorithm`, `token`."""

    def __init__(self) -> None:
        self.published = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.email = "asha@example.org"
        self.claims: dict[str, Any] = {}
        self.key: Any = self.published
        self.algorithm = "RS256"
        self.codes: dict[str, Any] = {}
        app = web.Application()
        app.add_routes(
            [
                web.get("/.well-known/openid-configuration", self.describe),
                web.get("/authorize", self.authorize),
                web.post("/token", self.exchange),
                web.get("/keys", self.keys),
            ]
        )
        self.server = TestServer(app, host="127.0.0.1")

    @property
    def issuer(self) -> str:
        return str(self.server.make_url("")).rstrip("/")

    @property
    def settings(self) -> dict[str, Any]:
        return {"discovery_url": self.issuer, "client_id": CLIENT_ID, "allow_insecure_requests": True}

    async def describe(self, _: web.Request) -> web.Response:
        at = self.issuer
        return web.json_response(
            {
                "issuer": at,
                "authorization_endpoint": f"{at}/authorize",
                "token_endpoint": f"{at}/token",
                "jwks_uri": f"{at}/keys",
            }
        )

    async def authorize(self, request: web.Request) -> web.Response:
        asked = dict(request.query)
        if (
            asked["client_id"] != CLIENT_ID
            or asked["response_type"] != "code"
            or "openid" not in asked["scope"].split()
        ):
            return web.Response(status=400)
        code = secrets.token_urlsafe(8)
        self.codes[code] = asked
        query = urlencode({"code": code, "state": asked["state"]})
        return web.Response(status=302, headers={"Location": f"{asked['redirect_uri']}?{query}"})

    async def exchange(self, request: web.Request) -> web.Response:
        form = await request.post()
        asked = self.codes.pop(str(form["code"]), None)
        login = base64.b64encode(b"outpost:s3cret%3A+of+the+client").decode()
        challenge = base64.urlsafe_b64encode(hashlib.sha256(str(form["code_verifier"]).encode()).digest())
        if (
            asked is None
            or request.headers.get("Authorization") != f"Basic {login}"
            or challenge.decode().rstrip("=") != asked["code_challenge"]
            or form["redirect_uri"] != asked["redirect_uri"]
        ):
            return web.json_response({"error": "invalid_grant"}, status=400)
        now = int(time.time())
        claims = {"iss": self.issuer, "aud": CLIENT_ID, "sub": "1", "iat": now, "exp": now + 300}
        claims |= {"nonce": asked["nonce"], "email": self.email, "email_verified": True} | self.claims
        headers = {"kid": "k1"}
        token = jwt.encode(claims, self.key, self.algorithm, headers=headers)
        return web.json_response({"id_token": token, "access_token": "a", "token_type": "Bearer"})

    async def keys(self, _: web.Request) -> web.Response:
        public = RSAAlgorithm.to_jwk(self.published.public_key(), as_dict=True)
        return web.json_response({"keys": [{**public, "kid": "k1", "use": "sig", "alg": "RS256"}]})
