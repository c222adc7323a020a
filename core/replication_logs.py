"""What the logs database tells of phones' replications: sizes of lists, failures by month (EP-OTH-2..4, MOD-93)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

from core.couch.client import Database, Doc, Row
from core.errors import NotFound
from core.paging import PageRequest, ReadRange, id_range, read_page

COUNT_PREFIX = "replication-count-"
FAILURE_PREFIX = "replication-fail-"


async def replication_counts(logs: Database, user: str | None) -> list[Doc]:
    """The size of each user's last list, or of one user's. NotFound when that user never asked for one."""
    if user is not None:
        found = await logs.find(COUNT_PREFIX + user)
        if found is None:
            raise NotFound(f"No replication of user {user} was recorded")
        return [found]
    rows = await logs.all_docs(startkey=COUNT_PREFIX, endkey=f"{COUNT_PREFIX}\ufff0", include_docs=True)
    return [row["doc"] for row in rows]


async def users_near_limit(logs: Database, least: int, limit: int) -> list[Doc]:
    """`{user, count}` of those whose last list had at least so many documents, the longest first."""
    rows = await logs.view(
        "logs", "replication_counts", startkey={}, endkey=least, descending=True, reduce=False, limit=limit
    )
    return [{"user": row["value"], "count": row["key"]} for row in rows]


async def count_near_limit(logs: Database, least: int) -> int:
    rows = await logs.view("logs", "replication_counts", startkey=least, update="lazy")
    return int(rows[0]["value"]) if rows else 0


async def replication_failures(
    logs: Database, user: str | None, month: str | None, asked: PageRequest, today: date
) -> tuple[list[Doc], str | None]:
    """A page of failure documents and the next one's cursor: of a month, of a user in every month, or of both."""
    if user is None:
        read = id_range(logs, f"{FAILURE_PREFIX}{month or month_of(today)}-")
    elif month is not None:
        read = ids_range(logs, [f"{FAILURE_PREFIX}{month}-{user}"])
    else:
        first = await logs.all_docs(startkey=FAILURE_PREFIX, endkey=f"{FAILURE_PREFIX}\ufff0", limit=1)
        since = first[0]["id"].removeprefix(FAILURE_PREFIX)[:7] if first else month_of(today)
        read = ids_range(logs, [f"{FAILURE_PREFIX}{each}-{user}" for each in months(since, month_of(today))])
    rows, cursor = await read_page([read], asked)
    return [row["doc"] for row in rows], cursor


def ids_range(db: Database, ids: list[str]) -> ReadRange:
    """Those of the documents that exist; `ids` ascend."""

    async def read(start: str | None, limit: int) -> list[Row]:
        rows = await db.all_docs([each for each in ids if start is None or each >= start], include_docs=True)
        return [row for row in rows if row.get("doc")][:limit]

    return read


def month_of(day: date) -> str:
    return day.isoformat()[:7]


def months(first: str, last: str) -> Iterator[str]:
    """`2024-11` to `2025-02`, both included. What is no month begins at the last."""
    try:
        day = date.fromisoformat(f"{first}-01")
    except ValueError:
        day = date.fromisoformat(f"{last}-01")
    while month_of(day) <= last:
        yield month_of(day)
        day = (day + timedelta(days=32)).replace(day=1)


async def failing_users(logs: Database, days: int, least: int, today: date) -> list[dict[str, Any]]:
    """Users with at least `least` failures in the last `days` days, today included, those with most failures first.

    Failures since the last list that came through are counted by day, and on that day by their time.
    """
    first = today - timedelta(days=days - 1)
    rows = await logs.view("logs", "replication_failures", startkey=[first.isoformat()])
    in_window: dict[str, int] = {}
    for row in rows:
        user, count = row["key"][1], row["value"]
        in_window[user] = in_window.get(user, 0) + count
    users = sorted((user for user, count in in_window.items() if count >= least), key=lambda user: -in_window[user])
    synced = await logs.get_many(COUNT_PREFIX + user for user in users)
    last_ms = {user: synced.get(COUNT_PREFIX + user, {}).get("date") for user in users}
    failures = await failures_of(logs, {user: each or 0 for user, each in last_ms.items()}, today)
    return [
        {
            "user": user,
            "last_replication_date": last_ms[user],
            "failures_since_last_replication": failures[user],
            "failures_in_window": in_window[user],
        }
        for user in users
    ]


async def failures_of(logs: Database, since_ms: dict[str, int], today: date) -> dict[str, int]:
    """How often each user failed since that moment."""
    found = dict.fromkeys(since_ms, 0)
    oldest = await logs.all_docs(startkey=FAILURE_PREFIX, endkey=f"{FAILURE_PREFIX}\ufff0", limit=1)
    if not oldest:
        return found
    first = oldest[0]["id"].removeprefix(FAILURE_PREFIX)[:7]
    ids = {
        f"{FAILURE_PREFIX}{month}-{user}": user
        for user, moment in since_ms.items()
        for month in months(max(first, day_of(moment)[:7]), month_of(today))
    }
    for doc_id, doc in (await logs.get_many(ids)).items():
        user = ids[doc_id]
        found[user] += failures_after(doc, since_ms[user])
    return found


def failures_after(doc: Doc, moment_ms: int) -> int:
    day = day_of(moment_ms)
    later = sum(count for each, count in (doc.get("daily_failures") or {}).items() if each > day)
    return int(later) + sum(
        1 for each in doc.get("failures") or [] if each["date"] > moment_ms and day_of(each["date"]) == day
    )


def day_of(moment_ms: int) -> str:
    return datetime.fromtimestamp(moment_ms / 1000, UTC).date().isoformat()
