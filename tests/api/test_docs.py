"""The documentation names every route."""

from __future__ import annotations

import re
from pathlib import Path

from api.routes import public_routes, routes

DOCS = Path(__file__).parents[2] / "docs"
PLACEHOLDER = re.compile(r"[{<][^}>]*[}>]")
# The catch-all and what is described under another name.
ELSEWHERE = {"/api/sms/", "/{path:.*}", "/{database:[^/]+}/", "/login/{name:script[.]js|style[.]css}"}


def test_every_route_is_in_the_documentation() -> None:
    text = "".join((DOCS / name).read_text() for name in ("api.md", "replication.md") if (DOCS / name).exists())
    documented = PLACEHOLDER.sub("*", text)
    paths = {route.path for route in [*public_routes("medic"), *routes("medic")]} - ELSEWHERE

    assert not [path for path in sorted(paths) if PLACEHOLDER.sub("*", path) not in documented]
