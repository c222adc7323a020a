"""The log document of an upgrade: what is to be done, how far it is; and its mirror for CHT 3 (UPG-11, UPG-37)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from core.couch.client import Database, Doc
from core.dates import ms_of
from core.errors import Conflict

PREFIX = "upgrade_log:"
MIRROR_ID = "horti-upgrade"
FINAL = frozenset({"finalized", "aborted", "errored"})
SWAPPING = frozenset({"completing", "complete", "finalizing"})

# What each state means to people who read the mirror.
MESSAGES: Mapping[str, str] = {
    "initiated": "Asked for",
    "staged": "The design documents are staged beside the running ones",
    "indexing": "Their indexes are being built",
    "indexed": "Their indexes are built: ready to be completed",
    "interrupted": "Found unfinished after a stop, and taken up again",
    "completing": "Completing: the indexes take in what came since",
    "complete": "The indexes are up to date",
    "finalizing": "The design documents are being exchanged",
    "finalized": "Done: the new design documents are in use",
    "aborting": "Being taken back",
    "aborted": "Taken back: nothing was changed",
    "errored": "Failed: nothing was changed",
}


class Overtaken(Exception):
    """Somebody else has decided about this upgrade meanwhile: it is aborted, or over."""


class UpgradeLogs:
    """The log documents of a deployment. Moments are milliseconds since the epoch."""

    def __init__(self, logs_db: Database, main_db: Database, now: Callable[[], datetime]) -> None:
        self.db = logs_db
        self.main_db = main_db
        self.now = now

    async def latest(self) -> Doc | None:
        """The log of the last upgrade there was; None for one that CHT left, with which nobody here could go on."""
        doc = await self._last()
        return doc if doc and "build_info" in doc else None

    async def _last(self) -> Doc | None:
        rows = await self.db.all_docs(
            startkey=f"{PREFIX}\ufff0", endkey=PREFIX, descending=True, limit=1, include_docs=True
        )
        return rows[0]["doc"] if rows else None

    async def current(self) -> Doc | None:
        """The log of the upgrade that is not over."""
        doc = await self.latest()
        return None if doc is None or doc["state"] in FINAL else doc

    async def begin(self, action: str, user: str, from_version: str, info: Doc, **members: Any) -> Doc:
        """A new log in state `initiated`. Conflict while another upgrade is unfinished."""
        # Of two that begin at once either sees the other's log, or both have seen the same mirror, and replace it once.
        mirror = await self.main_db.find(MIRROR_ID)
        current = await self.current()
        if current is not None:
            raise unfinished(current)
        doc = new_log(ms_of(self.now()), action, user, from_version, info) | members
        last_id = str((await self._last() or {}).get("_id", ""))
        if last_id >= doc["_id"] and (last_ms := last_id.split(":")[1]).isdecimal():
            doc["_id"] = f"{PREFIX}{int(last_ms) + 1}:{info['version']}"  # that clock was ahead, and the last id counts
        doc["_rev"] = await self.db.put(doc)
        try:
            await self.main_db.put({**mirror_of(doc), **revision(mirror)})
        except Conflict:
            if is_mirror_of(await self.main_db.find(MIRROR_ID), doc):
                return doc  # the worker has begun with it already
            await self.db.update(doc["_id"], lambda log: {**log, "_deleted": True} if log else None)
            raise Conflict("Another upgrade was begun at the same moment") from None
        return doc

    async def move(self, doc_id: str, state: str, **members: Any) -> Doc:
        """Go to a state, or add to the members of the one it is in; the log as stored. Overtaken when it cannot."""

        def change(doc: Doc | None) -> Doc | None:
            if doc is None or not may_follow(str(doc["state"]), state):
                raise Overtaken(doc_id)
            at_ms = ms_of(self.now())
            if doc["state"] == state and all(doc.get(name) == value for name, value in members.items()):
                return None
            history = doc["state_history"]
            if doc["state"] != state:
                history = [*history, {"state": state, "date": at_ms}]
            return {**doc, **members, "state": state, "state_history": history, "updated_date": at_ms}

        doc = await self.db.update(doc_id, change)
        if doc is None:
            return await self.db.get(doc_id)
        await self.main_db.update(MIRROR_ID, lambda mirror: {**mirror_of(doc), **revision(mirror)})
        return doc

    async def reflect(self, doc: Doc) -> None:
        """Let the mirror of a log tell what the log tells: whoever moved it may have died before."""

        def change(mirror: Doc | None) -> Doc | None:
            told = {**mirror_of(doc), **revision(mirror)}
            return told if is_mirror_of(mirror, doc) and told != mirror else None

        await self.main_db.update(MIRROR_ID, change)

    async def note(self, doc_id: str, **members: Any) -> None:
        """Add members to a log whatever its state is."""
        await self.db.update(doc_id, lambda doc: {**doc, **members} if doc else None)


def is_mirror_of(mirror: Doc | None, log: Doc) -> bool:
    told = mirror or {}
    return (told.get("created"), told.get("build_info")) == (log["start_date"], log["build_info"])


def unfinished(log: Doc) -> Conflict:
    return Conflict(f"The upgrade to {log['to']} is unfinished ({log['state']}): complete or abort it first")


def may_follow(before: str, state: str) -> bool:
    """Whether a state may come after another: what is over stays so, what is aborted is aborted to its end."""
    if before in FINAL:
        return (before, state) == ("errored", "aborting")
    if before == "aborting":
        return state in ("aborting", "aborted", "errored")
    return before != "finalizing" or state in ("finalizing", "finalized")


def is_waiting(log: Doc) -> bool:
    """Whether the next step is a person's."""
    return bool(log["state"] == "indexed" and log["action"] == "stage")


def revision(doc: Doc | None) -> Doc:
    return {"_rev": doc["_rev"]} if doc else {}


def new_log(at_ms: int, action: str, user: str, from_version: str, info: Doc) -> Doc:
    return {
        "_id": f"{PREFIX}{at_ms}:{info['version']}",
        "type": "upgrade_log",
        "user": user,
        "action": action,
        "from": from_version,
        "to": info["version"],
        "build_info": info,
        "start_date": at_ms,
        "updated_date": at_ms,
        "state": "initiated",
        "state_history": [{"state": "initiated", "date": at_ms}],
    }


def states_of(log: Doc) -> list[str]:
    """Every state it has been in, in order."""
    return [each["state"] for each in log["state_history"]]


def mirror_of(log: Doc) -> Doc:
    """`horti-upgrade` in the main database, by which clients of CHT 3 follow an upgrade (35 MOD-98)."""
    states = states_of(log)
    action = {"stage": "stage", "upgrade": "install"}.get(log["action"], log["action"])
    if action == "stage" and "completing" in states:
        action = "complete"
    entries = [
        {"datetime": each["date"], "type": "stage", "key": f"upgrade.{each['state']}"} for each in log["state_history"]
    ]
    for entry, state in zip(entries, states, strict=True):
        entry["message"] = MESSAGES.get(state, state)
        if state == "errored":
            entry |= {"type": "error", "message": log.get("error", "")}
    doc: Doc = {
        "_id": MIRROR_ID,
        "schema_version": 1,
        "user": log.get("user"),
        "created": log["start_date"],
        "action": action,
        "build_info": log["build_info"],
        "state": log["state"],
        "log": entries,
    }
    if "indexed" in states:
        doc |= {"staging_complete": True, "staged": True}
    if log.get("error"):
        doc["error"] = log["error"]
    return doc
