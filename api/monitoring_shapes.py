"""The answers of the monitoring resource; -1 or an empty text stands for what could not be measured (EP-MON-1..4)."""

from __future__ import annotations

from typing import Literal, TypedDict


class Count(TypedDict):
    count: int


class Backlog(TypedDict):
    backlog: int


class Versions(TypedDict):
    app: str
    node: str
    couchdb: str


class DatabaseState(TypedDict):
    name: str
    update_sequence: int
    doc_count: int
    doc_del_count: int
    fragmentation: float


class Databases(TypedDict):
    medic: DatabaseState
    sentinel: DatabaseState
    usersmeta: DatabaseState
    users: DatabaseState


class Clock(TypedDict):
    current: int
    uptime: float


class SentinelState(Backlog):
    transitions_disabled: bool | None
    retries: int
    failed: int
    failed_jobs: int
    overdue_tasks: int


class Groups(TypedDict):
    due: int
    scheduled: int
    muted: int
    failed: int
    delivered: int


class Outgoing(TypedDict):
    due: int
    scheduled: int
    muted: int
    state: Groups


class Messaging(TypedDict):
    outgoing: Outgoing


class OutgoingV2(TypedDict):
    total: Groups
    seven_days: Groups
    last_hundred: dict[Literal["pending", "final", "muted"], dict[str, int]]


class MessagingV2(TypedDict):
    outgoing: OutgoingV2


class Common(TypedDict):
    version: Versions
    couchdb: Databases
    date: Clock
    sentinel: SentinelState
    outbound_push: Backlog
    feedback: Count
    conflict: Count
    replication_limit: Count
    connected_users: Count


class Monitoring(Common):
    messaging: Messaging


class MonitoringV2(Common):
    messaging: MessagingV2
    replication_failure: Count
