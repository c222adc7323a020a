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
    documented = PLACEHOLDER.sub("*", "".join(page.read_text() for page in DOCS.glob("*.md")))
    paths = {route.path for route in [*public_routes("medic"), *routes("medic")]} - ELSEWHERE

    assert not [path for path in sorted(paths) if PLACEHOLDER.sub("*", path) not in documented]
