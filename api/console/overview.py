"""The overview: what is wrong first, then how much there is of everything."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from api.console.frame import Page, allow, show
from api.handlers.monitoring import METRICS

PAGE = Page("overview")


async def show_overview(request: web.Request) -> web.Response:
    """GET /admin/overview: what needs somebody's attention, and the numbers of `/api/v2/monitoring`."""
    allow(request, PAGE)
    numbers = await request.config_dict[METRICS].collect_v2()
    return await show(request, PAGE, "overview.html", problems=problems_in(numbers), numbers=numbers)


def problems_in(numbers: dict[str, Any]) -> list[tuple[str, int]]:
    """Text keys, and the count that each tells, of what somebody should look at; the worst first."""
    sentinel = numbers["sentinel"]
    found = [
        ("console.overview.transitions_disabled", int(bool(sentinel["transitions_disabled"]))),
        ("console.overview.failed_jobs", sentinel["failed_jobs"]),
        ("console.overview.failing_docs", sentinel["failed"]),
        ("console.overview.overdue_tasks", sentinel["overdue_tasks"]),
    ]
    return [(key, count) for key, count in found if count > 0]


ROUTES = [web.get(PAGE.path, show_overview)]
