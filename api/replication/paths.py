"""Addresses below the main database: read from a request, and written for CouchDB so that both mean the same."""

from __future__ import annotations

from collections.abc import Collection
from urllib.parse import quote, unquote

from aiohttp import web

from api.errors import DocForbidden
from api.keys import CONFIG
from core.couch.client import doc_path

DOT_SEGMENTS = frozenset({".", ".."})


def parts_below_database(request: web.Request) -> list[str]:
    """The decoded parts of the path after the database: `["_design", "medic-client"]`, `["a/b", "photo.jpg"]`.

    `_design` and `_local` stand as parts of their own even where their slash was encoded. Dot segments, which a server
    on the way could take for directories, are refused.
    """
    _, _, *raw = request.rel_url.raw_path.split("/")
    parts = [unquote(part) for part in raw]
    if parts and parts[0].startswith(("_design/", "_local/")):
        head, _, rest = parts[0].partition("/")
        parts[:1] = [head, rest]
    if any(DOT_SEGMENTS.intersection(part.split("/")) for part in parts):
        raise DocForbidden
    return parts


def storage_path(request: web.Request, *parts: str, without: Collection[str] = ()) -> str:
    """The percent-encoded path and query for CouchDB; `without` names query parameters that must not reach it."""
    database = quote(request.config_dict[CONFIG].database, safe="")
    path = "/" + "/".join((database, *(quote(part, safe="") for part in parts)))
    return path + query_of(request, without)


def doc_storage_path(request: web.Request, doc_id: str, *, without: Collection[str] = ()) -> str:
    database = quote(request.config_dict[CONFIG].database, safe="")
    return f"/{database}{doc_path(doc_id)}{query_of(request, without)}"


def query_of(request: web.Request, without: Collection[str]) -> str:
    """The request's query, encoded anew, each parameter once: what was judged is what CouchDB reads."""
    kept = {name: request.query[name] for name in request.query if name not in without}
    pairs = (f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in kept.items())
    return "?" + "&".join(pairs) if kept else ""
