"""What the second version of the monitoring resource says of messages and failed replications (EP-MON-4)."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

from core.couch.client import Database, Doc

GROUPS = ("due", "scheduled", "muted", "failed", "delivered")
# The states of each group whose newest hundred messages are told.
STATES = {
    "pending": ("pending", "forwarded-to-gateway", "received-by-gateway", "forwarded-by-gateway"),
    "final": ("sent", "delivered", "failed"),
    "muted": ("denied", "cleared", "muted", "duplicate"),
}
NEWEST = 100
WEEK = timedelta(days=7)
LAZY: dict[str, Any] = {"update": "lazy"}

UNKNOWN_WEEK: Doc = dict.fromkeys(GROUPS, -1)
UNKNOWN_NEWEST: Doc = {group: dict.fromkeys(states, -1) for group, states in STATES.items()}


async def seven_days(main: Database, now_ms: int) -> Doc:
    """How many messages of each group became due since the day began seven days ago."""
    begin_ms = ms_of_day(now_ms, WEEK)
    found = await asyncio.gather(
        *(
            main.view("medic-admin", "message_queue", startkey=[group, begin_ms], endkey=[group, now_ms], **LAZY)
            for group in GROUPS
        )
    )
    return {group: sum(int(row["value"]) for row in rows) for group, rows in zip(GROUPS, found, strict=True)}


async def last_hundred(main: Database, now_ms: int) -> Doc:
    """For each group, how many of the hundred messages updated last are in which state."""
    found = await asyncio.gather(
        *(
            main.view(
                "medic-sms",
                "messages_by_last_updated_state",
                startkey=[group, now_ms, {}],
                endkey=[group, 0],
                descending=True,
                limit=NEWEST,
                **LAZY,
            )
            for group in STATES
        )
    )
    answer = {}
    for (group, states), rows in zip(STATES.items(), found, strict=True):
        counted = Counter(row["key"][2] for row in rows if isinstance(row["key"][2], str))
        answer[group] = {state: counted[state] for state in states}
    return answer


async def replication_failures(logs: Database, now_ms: int, days: int) -> int:
    """The replications that failed within so many days."""
    first = datetime.fromtimestamp(ms_of_day(now_ms, timedelta(days=days)) / 1000, UTC).date().isoformat()
    rows = await logs.view("logs", "replication_failures", startkey=[first], **LAZY)
    return sum(row["value"] for row in rows if isinstance(row["value"], int))


def ms_of_day(now_ms: int, before: timedelta) -> int:
    """When the day began that was so long ago, in UTC."""
    day = datetime.fromtimestamp(now_ms / 1000, UTC) - before
    return int(day.replace(hour=0, minute=0, second=0, microsecond=0).timestamp() * 1000)
