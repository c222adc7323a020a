"""The docs name what is there: their links lead somewhere, and every route, file and transition is told of."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from api.routes import public_routes, routes
from sentinel.transitions.catalogue import BY_NAME

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text())

    assert [target for target in targets if not (page.parent / target).exists()] == []


def test_every_file_named_in_the_architecture_page_exists() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    names = re.findall(r"`([\w/]+(?:\.py|/))`", text)
    known = {
        path.name for room in ("api", "core", "outpost", "sentinel", "store") for path in (ROOT / room).rglob("*.py")
    }

    assert names
    assert [name for name in names if not exists(name) and name.rpartition("/")[2] not in known] == []


def exists(name: str) -> bool:
    return any((ROOT / room / name).exists() for room in ("", "api", "sentinel", "sentinel/transitions", "store"))


def test_every_route_is_documented() -> None:
    text = (ROOT / "docs" / "api.md").read_text()
    paths = {route.path for route in [*public_routes("medic"), *routes("medic")] if hasattr(route, "path")}
    named = {re.sub(r"\{(\w+)[^}]*\}+", r"<\1>", path) for path in paths if path.startswith(("/api", "/setup"))}
    told = re.sub(r"\{(\w+)\}", r"<\1>", text)

    assert sorted(path for path in named if path.rstrip("/") not in told) == []


def test_every_transition_is_documented() -> None:
    text = (ROOT / "docs" / "settings.md").read_text()

    assert [name for name in BY_NAME if f"`{name}`" not in text] == []
