"""The overview: what is wrong first, then how much there is of everything, and the last day in plots."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from aiohttp import web
from markupsafe import Markup

from api.auth import holds
from api.bodies import now_ms
from api.console.frame import Page, allow, show
from api.console.texts import Texts, texts_and_branding
from api.handlers.messages import queue_of
from api.handlers.monitoring import METRICS
from api.handlers.sentinel import LOOK_AND_DIRECT
from api.keys import CONFIG, COUCH, REQUEST_SETTINGS
from api.metrics import waiting
from api.plots import line_plot, readable
from api.replication.logs import NEAR_LIMIT
from api.samples import MINUTE_MS, Sample, Samples, thinned
from core.errors import DomainError
from core.replication_logs import users_near_limit
from core.sms_offers import OUR_GATEWAY, outgoing_service
from sentinel.status import collect_status

PAGE = Page("overview")
DAY_MS, HOUR_MS, STEP_MS = 86_400_000, 3_600_000, 600_000
STALLED_AFTER = 5  # samples
SILENT_AFTER_MIN = 3
MOST_USERS = 20

# The lines of each plot.
PLOTS: Mapping[str, tuple[str, ...]] = {
    "backlog": ("backlog", "retries"),
    "messages": ("due", "scheduled", "failed", "muted"),
    "sync": ("sync_requests",),
    "latency": ("sync_p50_ms", "sync_p95_ms"),
    "index": ("index_behind",),
    "conflicts": ("conflicts",),
    "limit": ("near_limit", "over_limit"),
}

Measured = Sequence[tuple[int, Sample]]


@dataclass(frozen=True)
class Problem:
    """What somebody should look at: the end of its text's key, how many there are, and the page to go to."""

    name: str
    count: int
    path: str


async def show_overview(request: web.Request) -> web.Response:
    """GET /admin/overview: what needs somebody's attention, the numbers of now, and plots of the last day."""
    user = allow(request, PAGE)
    config, couch = request.config_dict[CONFIG], request.config_dict[COUCH]
    moment_ms = now_ms()
    numbers, worker, queue, samples, (texts, _) = await asyncio.gather(
        request.config_dict[METRICS].collect_v2(),
        collect_status(couch, config, time.time()),
        queue_of(request, update="lazy"),  # the page waits for no index
        asyncio.to_thread(Samples(config.samples).since, moment_ms - DAY_MS),
        texts_and_branding(request),
    )
    near = []
    if user.is_admin:  # as /api/v1/users-doc-count
        with suppress(DomainError):  # the rest of the page is wanted most when something does not answer
            near = await users_near_limit(couch.db(config.db_name("logs")), NEAR_LIMIT, MOST_USERS)
    problems = [*worker_problems(worker), *index_problems(samples, moment_ms), *limit_problems(numbers)]
    if outgoing_service(request[REQUEST_SETTINGS]) == OUR_GATEWAY:
        problems += gateway_problems(queue, moment_ms)
    return await show(
        request,
        PAGE,
        "overview.html",
        problems=problems,
        may_look=holds(request, user, LOOK_AND_DIRECT),
        numbers=numbers_now(numbers),
        near=near,
        plots=await asyncio.to_thread(drawn, samples, moment_ms, texts) if samples else [],
    )


def numbers_now(numbers: Mapping[str, Any]) -> dict[str, int]:
    outgoing = numbers["messaging"]["outgoing"]["total"]
    return {
        "backlog": numbers["sentinel"]["backlog"],
        "due": waiting(outgoing),
        "failed": outgoing["failed"],
        "conflicts": numbers["conflict"]["count"],
        "connected": numbers["connected_users"]["count"],
        "documents": numbers["couchdb"]["medic"]["doc_count"],
    }


# --- what is wrong ----------------------------------------------------------------------------------------------------


def worker_problems(worker: Mapping[str, Any]) -> list[Problem]:
    """The worst first."""
    failed_jobs = sum(1 for job in worker["jobs"].values() if job.get("error"))
    found = {
        "no_worker": int(not worker["active"]),
        "transitions_disabled": len(worker["errors"]),
        "paused": int(worker["paused"]),
        "failed_jobs": failed_jobs,
        "failing_docs": worker["failed"],
        "overdue_tasks": worker["overdue_tasks"],
    }
    return [Problem(name, count, "/admin/sentinel") for name, count in found.items() if count > 0]


def index_problems(samples: Measured, moment_ms: int) -> list[Problem]:
    """Whether the process that keeps the access index is silent, or the index does not move."""
    if not samples:
        return []
    silent_min = (moment_ms - samples[-1][0]) // MINUTE_MS
    if silent_min > SILENT_AFTER_MIN:
        return [Problem("not_measured", silent_min, "")]
    behind = [sample.get("index_behind", 0) for _, sample in samples[-STALLED_AFTER:]]
    if len(behind) == STALLED_AFTER and min(behind) > 0 and behind == sorted(behind):
        return [Problem("index_stalled", int(behind[-1]), "")]
    return []


def gateway_problems(queue: Mapping[str, Any], moment_ms: int) -> list[Problem]:
    """Whether messages have waited for an hour in which no gateway came."""
    hour_ago_ms = moment_ms - HOUR_MS
    waits = any(each["oldest_due"] is not None and each["oldest_due"] < hour_ago_ms for each in queue["waiting"])
    if not waits or any(each["last_exchange"] > hour_ago_ms for each in queue["gateways"]):
        return []
    return [Problem("gateway_silent", sum(each["count"] for each in queue["waiting"]), "/admin/messages")]


def limit_problems(numbers: Mapping[str, Any]) -> list[Problem]:
    count = numbers["replication_limit"]["count"]
    return [Problem("over_limit", count, "")] if count > 0 else []


# --- plots ------------------------------------------------------------------------------------------------------------


def drawn(samples: Measured, moment_ms: int, texts: Texts) -> list[dict[str, Any]]:
    """Each plot with its title, its picture, what the picture shows in words, and its values by the hour."""
    begin_ms = (moment_ms - DAY_MS) // STEP_MS * STEP_MS
    spans, hours = dict(thinned(samples, STEP_MS)), dict(thinned(samples, HOUR_MS))
    moments = range(begin_ms, moment_ms, STEP_MS)
    plots = []
    for name, members in PLOTS.items():
        names = [texts(f"console.overview.line.{member}") for member in members]
        series = [[(at_ms, spans.get(at_ms, {}).get(member)) for at_ms in moments] for member in members]
        svg = line_plot(list(zip(names, series, strict=True)), begin_ms, moment_ms)
        plots.append(
            {
                "name": name,
                "svg": Markup(svg),
                "summary": ". ".join(
                    filter(None, (in_words(samples, *each, texts) for each in zip(members, names, strict=True)))
                ),
                "headings": names,
                "hours": [(f"{utc(at_ms):%H:%M}", cells(hours[at_ms], members)) for at_ms in sorted(hours)],
            }
        )
    return plots


def in_words(samples: Measured, member: str, name: str, texts: Texts) -> str:
    values = [(sample[member], at_ms) for at_ms, sample in samples if member in sample]
    if not values:
        return ""
    highest, at_ms = max(values)
    return texts(
        "console.overview.summary",
        name=name,
        now=readable(values[-1][0]),
        highest=readable(highest),
        at=f"{utc(at_ms):%H:%M}",
    )


def cells(sample: Sample, members: Sequence[str]) -> list[str]:
    return [readable(sample[member]) if member in sample else "" for member in members]


def utc(moment_ms: int) -> datetime:
    return datetime.fromtimestamp(moment_ms / 1000, UTC)


ROUTES = [web.get(PAGE.path, show_overview)]
