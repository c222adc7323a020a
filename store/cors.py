"""Cross-origin requests of browsers, allowed as CouchDB's `cors` section says."""

from __future__ import annotations

from dataclasses import dataclass

from aiohttp import web

from store.node_config import NodeConfig

_METHODS = "CONNECT, COPY, DELETE, GET, HEAD, OPTIONS, POST, PUT, TRACE"
_HEADERS = frozenset(
    {"accept", "accept-language", "authorization", "content-language", "content-length", "content-range",
     "content-type", "destination", "expires", "if-match", "last-modified", "origin", "pragma", "x-couch-full-commit",
     "x-couch-id", "x-couch-persist", "x-couchdb-vhost-path", "x-couchdb-www-authenticate", "x-http-method-override",
     "x-requested-with"}
)  # fmt: skip
_EXPOSED = (
    "content-type, cache-control, accept-ranges, etag, server, x-couch-request-id, x-couch-update-newrev,"
    " x-couchdb-body-time"
)


@dataclass(frozen=True)
class Cors:
    """Which origins may ask for what. `origins` None: all of them."""

    origins: frozenset[str] | None
    credentials: bool
    methods: str
    headers: frozenset[str]
    max_age_s: int

    @classmethod
    def from_config(cls, config: NodeConfig) -> Cors | None:
        """The rules of a configuration; None where cross-origin requests are not enabled."""
        if "true" not in (config.get("chttpd", "enable_cors"), config.get("httpd", "enable_cors")):
            return None
        origins = _listed(config.get("cors", "origins"))
        headers = _listed((config.get("cors", "headers") or "").lower())
        return cls(
            origins=None if "*" in origins else origins,
            credentials=config.get("cors", "credentials") == "true",
            methods=config.get("cors", "methods") or _METHODS,
            headers=headers or _HEADERS,
            max_age_s=config.seconds("cors", "max_age", 600),
        )

    def allowed(self, request: web.BaseRequest) -> dict[str, str] | None:
        """The headers that go with any answer to this origin; None for a request that is not to be allowed."""
        origin = request.headers.get("Origin")
        if origin is None or not (self.origins is None or origin in self.origins):
            return None
        headers = {"Access-Control-Allow-Origin": origin, "Vary": "Origin"}
        if self.credentials:
            headers["Access-Control-Allow-Credentials"] = "true"
        return headers

    def preflight(self, request: web.BaseRequest, allowed: dict[str, str]) -> web.Response | None:
        """The answer to a browser that asks before it sends; None when it asks for what is not allowed."""
        wanted = request.headers.get("Access-Control-Request-Method")
        if request.method != "OPTIONS" or wanted is None or wanted not in _listed(self.methods):
            return None
        asked = request.headers.get("Access-Control-Request-Headers", "")
        if not _listed(asked.lower()) <= self.headers:
            return None
        return web.Response(
            status=204,
            headers={
                **allowed,
                "Access-Control-Allow-Headers": asked,
                "Access-Control-Allow-Methods": self.methods,
                "Access-Control-Max-Age": str(self.max_age_s),
            },
        )


def exposed(allowed: dict[str, str]) -> dict[str, str]:
    """The headers of an ordinary answer, which tell what a script may read of it."""
    return {**allowed, "Access-Control-Expose-Headers": _EXPOSED}


def _listed(value: str | None) -> frozenset[str]:
    return frozenset(part.strip() for part in (value or "").split(",") if part.strip())
