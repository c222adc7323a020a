"""What every answer tells browsers to allow: a content security policy, other guards, CORS (AUTH-7, AUTH-16)."""

from __future__ import annotations

from functools import lru_cache
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.web_request import BaseRequest

from core.config import Config

GUARDS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "SAMEORIGIN",
    "X-DNS-Prefetch-Control": "off",
    "X-Download-Options": "noopen",
    "Strict-Transport-Security": "max-age=15552000; includeSubDomains",  # browsers take it from HTTPS only
}


@lru_cache(maxsize=4)
def content_policy(builds_url: str | None) -> str:
    """The policy of everything without a stricter one of its own: our pages, attachments that CouchDB sandboxes."""
    builds = urlsplit(builds_url or "")
    connect = ["'self'", *([f"{builds.scheme}://{builds.netloc}"] if builds.netloc else []), "maps.googleapis.com"]
    return "; ".join(
        (
            "default-src 'none'",
            "font-src 'self'",
            "manifest-src 'self'",
            "child-src 'self'",
            "form-action 'self'",
            f"connect-src {' '.join(connect)}",
            "img-src 'self' data: blob: *.openstreetmap.org",
            "media-src 'self' blob:",
            "script-src 'self' 'unsafe-eval'",
            "style-src 'self' 'unsafe-inline'",
        )
    )


def protect(config: Config, request: BaseRequest, response: web.StreamResponse) -> None:
    for name, value in GUARDS.items():
        response.headers.setdefault(name, value)
    response.headers.setdefault("Content-Security-Policy", content_policy(config.builds_url))
    if config.allow_cors:
        response.headers["Access-Control-Allow-Origin"] = request.headers.get("Origin") or request.host
        response.headers["Access-Control-Allow-Methods"] = "GET, POST, PUT, OPTIONS, HEAD, DELETE"
        response.headers["Access-Control-Allow-Credentials"] = "true"
        response.headers.add("Vary", "Origin")
