"""Decide when to look which documents phones should no longer hold, and at which of them (40 §11)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta

import orjson

from core.config import Config
from core.couch.client import Couch, Database
from core.dates import moment_of, ms_of
from core.documents import Doc
from core.scripting import ScriptError
from core.settings import Settings
from core.timetables import Timetable
from sentinel.schedule.purge_function import role_sets_of
from sentinel.schedule.purge_run import STATE, TOO_MANY_RECORDS, Purging, remember

# Between two runs over everything only what changed is looked at (PRG-12); a weekly schedule looks at everything.
FULL_EVERY = timedelta(days=6, hours=12)


async def purge(
    couch: Couch,
    database: str,
    settings: Settings,
    now: Callable[[], datetime],
    may_write: Callable[[], None] = lambda: None,
    *,
    too_many_records: int = TOO_MANY_RECORDS,
    timeout_s: float = Config.purge_timeout_s,
) -> bool:
    """Run when the schedule had an occurrence since the last run, or a run is unfinished; whether one ended well.

    The position, `_local/purging` of the sentinel database `{checked, run, error, full, since, by}`, moves after each
    page. A run looks at what changed since the last one that ended well, `since`; at everything when that one had
    another function, roles or permissions, `by`, or when everything was looked at a week ago, `full` (PRG-12).
    A contact with `too_many_records` is skipped, `timeout_s` is for each call of the function. InvalidInput when the
    schedule cannot be read; ScriptError when the function failed, now and until it succeeds.
    """
    section = settings.section("purge")
    timetable = Timetable.from_config(section) if section.get("fn") else None
    if timetable is None:
        return False
    sentinel_db = couch.db(f"{database}-sentinel")
    state = await sentinel_db.get_local(STATE) or {}
    moment = now()
    checked = moment_of(state.get("checked"), moment.tzinfo) if moment.tzinfo else None
    if checked is None or checked > moment:  # the first time, or the clock was ahead when it was stored
        kept = {name: value for name, value in state.items() if not name.startswith("_")}
        await remember(sentinel_db, {**kept, "checked": ms_of(moment)})
        return False
    run = state.get("run")
    if not isinstance(run, dict):
        occurrence = timetable.latest(checked, moment)
        if occurrence is None:
            if error := state.get("error"):
                raise ScriptError(str(error))
            return False
        checked, run = occurrence, None
    role_sets = await role_sets_of(couch.db("_users"), settings)
    if not role_sets:
        await remember(sentinel_db, {"checked": ms_of(checked)})
        return False
    fn = str(section["fn"])
    last: Doc = {name: value for name, value in state.items() if name in ("full", "since", "by")}
    run = run or await new_run(couch.db(database), moment, last, fingerprint(fn, role_sets, settings))
    checked_ms = ms_of(checked)
    purging = Purging(
        couch, database, settings, fn, role_sets, run, last, checked_ms, now, may_write, too_many_records, timeout_s
    )
    return await purging.complete()


async def new_run(db: Database, moment: datetime, last: Doc, by: str) -> Doc:
    """`since` is None where everything is to be looked at; `upto` is where the next run will go on."""
    full = moment_of(last.get("full"), moment.tzinfo) if moment.tzinfo else None
    is_recent = full is not None and abs(moment - full) < FULL_EVERY and last.get("by") == by
    upto = str((await db.info())["update_seq"])
    since = last.get("since") if is_recent else None
    return {"begun": ms_of(moment), "stage": 0, "after": None, "skipped": [], "since": since, "upto": upto, "by": by}


def fingerprint(fn: str, role_sets: Mapping[str, Sequence[str]], settings: Settings) -> str:
    """Equal as long as equal documents are judged equally."""
    types = {each.id: each.person for each in settings.contact_types.types.values()}
    judged_by = [fn, role_sets, settings.section("permissions"), types]
    return hashlib.sha256(orjson.dumps(judged_by, option=orjson.OPT_SORT_KEYS)).hexdigest()
