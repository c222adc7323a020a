"""The messages that wait, were sent or failed, as administrators look at them, and another try for some (40 §7)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from core.couch.client import Database, Doc, Row
from core.dates import ms_of
from core.errors import InvalidInput
from core.paging import PageRequest, Position, bad_cursor, write_cursor
from core.sms_reports import change_docs, uuids_of
from core.sms_tasks import Task, due_ms, messages_of, objects, set_state

WAITING = "pending-or-forwarded"  # stands for both, in the order of their due times
STANDS_FOR = {WAITING: frozenset({"pending", "forwarded-to-gateway"})}
STATES = (
    WAITING,
    "received-by-gateway",
    "forwarded-by-gateway",
    "unrecognised",
    "scheduled",
    "failed",
    "muted",
    "cleared",
    "denied",
    "duplicate",
    "sent",
    "delivered",
)
NEWEST_FIRST = frozenset(STATES[5:])  # what is over; the others come in the order in which they are due
LISTS = ("tasks", "scheduled_tasks")

# What may be tried again, and what may be stopped. What was sent stays so, and `cleared` ones were replaced.
RETRIED = frozenset({"failed", "denied", "duplicate", "muted", "unrecognised"})
MUTED = frozenset({"pending", "forwarded-to-gateway", "scheduled", "failed"})
MOST_AT_ONCE = 1000
MOST_OF_A_DOCUMENT = 10_000  # messages that are due at the same time


# --- looking ------------------------------------------------------------------------------------------------------


async def list_messages(db: Database, state: str, asked: PageRequest) -> tuple[list[Doc], str | None]:
    """A page of the messages in one of STATES, and the cursor of the next page.

    Each is `{id, doc_id, task, state, due, to, content, recipient, translation_key, reason, history}`. `id` is null for
    what was not rendered yet, `task` names its place in the document, `due` is in milliseconds.
    """
    if state not in STATES:
        raise InvalidInput(f"state must be one of {', '.join(STATES)}, not {state!r}")
    shown_before = asked.start.number
    last = shown_before + asked.limit
    rows = await queue_rows(db, state, asked.start, last + 1)
    docs = await db.get_many(row["id"] for row in rows[:last])
    seen: set[tuple[str, str, str | None]] = set()
    found = [message_of(docs[row["id"]], row, seen) if row["id"] in docs else None for row in rows[:last]]
    cursor = write_cursor(position_of(rows, last)) if len(rows) > last else None
    return [each for each in found[shown_before:] if each is not None], cursor


async def queue_rows(db: Database, state: str, start: Position, limit: int) -> list[Row]:
    """Rows of medic/messages_by_state, from the first of those that a position counts."""
    descending = state in NEWEST_FIRST
    first, last = ([state, {}], [state]) if descending else ([state], [state, {}])
    place: dict[str, Any] = {"startkey": first}
    if start.doc_id is not None:
        due, _, doc_id = start.doc_id.partition(" ")
        if not due.lstrip("-").isdigit() or not doc_id or start.number > MOST_OF_A_DOCUMENT:
            raise bad_cursor(write_cursor(start))
        place = {"startkey": [state, int(due)], "startkey_docid": doc_id}
    return await db.view(
        "medic", "messages_by_state", **place, endkey=last, descending=descending, limit=limit, reduce=False
    )


def position_of(rows: Sequence[Row], at: int) -> Position:
    """The position of a row: its due time and document, and how many rows of these come before it."""

    def name_of(row: Row) -> str:
        return f"{int(row['key'][1])} {row['id']}"

    name, same = name_of(rows[at]), 0
    while same < at and name_of(rows[at - same - 1]) == name:
        same += 1
    return Position(same, name)


def message_of(doc: Doc, row: Row, seen: set[tuple[str, str, str | None]]) -> Doc | None:
    """What a row is about; None when the document has changed since. `seen` are the places shown already."""
    state, due = row["key"]
    uuid = row["value"].get("id")
    candidates = [
        (place, task)
        for place, task in places(doc)
        if task.get("state") in STANDS_FOR.get(state, (state,))
        and (uuid in uuids_of(task) if uuid else not messages_of(task))
        and (doc["_id"], place, uuid) not in seen
    ]
    if not candidates:
        return None
    # Of several that are not rendered yet the one that is due then; the view may read an odd date otherwise than we do.
    exact = (each for each in candidates if (due_ms(each[1], doc) or 0) == due)
    place, task = next(exact, candidates[0])
    seen.add((doc["_id"], place, uuid))
    return shown(doc["_id"], place, task, int(due), uuid)


def shown(doc_id: str, place: str, task: Task, due: int, uuid: str | None) -> Doc:
    message: Mapping[str, Any] = next((each for each in messages_of(task) if each.get("uuid") == uuid), {})
    details = task.get("state_details")
    return {
        "id": uuid,
        "doc_id": doc_id,
        "task": place,
        "state": task.get("state"),
        "due": due,
        "to": message.get("to"),
        "content": message.get("message"),
        "recipient": task.get("recipient"),
        "translation_key": task.get("message_key") or task.get("translation_key"),
        "reason": details.get("reason") if isinstance(details, dict) else None,
        "history": objects(task.get("state_history")),
    }


def places(doc: Doc) -> Iterable[tuple[str, Task]]:
    """Every task with its place, as `scheduled_tasks.3`."""
    for name in LISTS:
        tasks = doc.get(name)
        for at, task in enumerate(tasks if isinstance(tasks, list) else ()):
            if isinstance(task, dict):
                yield f"{name}.{at}", task


# --- acting -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class MessageRef:
    """A message as the list names it; with `id`, the place counts only while that message is there."""

    doc_id: str
    task: str
    id: str | None = None


def read_refs(body: Any) -> list[MessageRef]:
    """The `messages` of a body. InvalidInput."""
    entries = body.get("messages") if isinstance(body, dict) else None
    if not isinstance(entries, list) or not entries or len(entries) > MOST_AT_ONCE:
        raise InvalidInput(f"messages must be a list of 1 to {MOST_AT_ONCE} objects with doc_id and task")
    return [read_ref(at, each) for at, each in enumerate(entries)]


def read_ref(at: int, entry: Any) -> MessageRef:
    members = entry if isinstance(entry, dict) else {}
    for name in ("doc_id", "task"):
        if not isinstance(members.get(name), str) or not members[name]:
            raise InvalidInput(f"messages[{at}].{name} must be a text, as GET /api/v1/messages tells it")
    if not isinstance(members.get("id"), str | None):
        raise InvalidInput(f"messages[{at}].id must be a text or null")
    return MessageRef(members["doc_id"], members["task"], members.get("id"))


async def retry_messages(
    db: Database, refs: Sequence[MessageRef], now: Callable[[], datetime]
) -> tuple[list[str], list[Doc]]:
    """Let messages be sent after all: `pending`, or `scheduled` again for what is due later or not rendered yet.

    The ids of the changed documents, and for each message `{doc_id, task, id, state, changed, reason?}`.
    """

    def again(doc: Doc, task: Task) -> str:
        later = (due_ms(task, doc) or 0) > ms_of(now())
        return "scheduled" if not messages_of(task) or (task.get("due") and later) else "pending"

    return await set_states(db, refs, RETRIED, again, now)


async def mute_messages(
    db: Database, refs: Sequence[MessageRef], now: Callable[[], datetime]
) -> tuple[list[str], list[Doc]]:
    """Have messages not sent: `muted`, which can be tried again. Answers as `retry_messages`."""
    return await set_states(db, refs, MUTED, lambda doc, task: "muted", now)


async def set_states(
    db: Database,
    refs: Sequence[MessageRef],
    allowed: frozenset[str],
    new_state: Callable[[Doc, Task], str],
    now: Callable[[], datetime],
) -> tuple[list[str], list[Doc]]:
    outcomes: dict[MessageRef, Doc] = {
        ref: {**vars(ref), "state": None, "changed": False, "reason": "There is no such message"} for ref in refs
    }
    by_doc: dict[str, list[MessageRef]] = {}
    for ref in outcomes:
        by_doc.setdefault(ref.doc_id, []).append(ref)

    def change(doc: Doc) -> bool:
        tasks = dict(places(doc))
        changed = False
        for ref in by_doc[doc["_id"]]:
            task = tasks.get(ref.task)
            if task is None or (ref.id is not None and ref.id not in uuids_of(task)):
                continue
            if task.get("state") not in allowed:
                reason = f"Its state is {task.get('state')}"
                outcomes[ref] = {**vars(ref), "state": task.get("state"), "changed": False, "reason": reason}
                continue
            changed |= set_state(task, new_state(doc, task), now=now())
            outcomes[ref] = {**vars(ref), "state": task["state"], "changed": True}
        return changed

    stored = await change_docs(db, by_doc, change)
    return stored, list(outcomes.values())
