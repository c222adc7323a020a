"""The design documents at a start: what is missing is installed, what differs exchanged when it is warm (UPG-3..6)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime

from core.config import Config
from core.couch.client import Couch, Doc
from core.couch.databases import database_names
from core.couch.ddocs import install, load_bundle, outdated
from core.dates import iso_of, ms_of
from core.errors import Conflict
from core.settings import Settings
from core.upgrades.compare import compare
from core.upgrades.indexing import warm
from core.upgrades.log import SWAPPING, Overtaken, UpgradeLogs, new_log
from core.upgrades.staging import Databases, stage, staged_docs, swap

log = logging.getLogger(__name__)

Bundle = Mapping[str, Sequence[Doc]]


async def install_ddocs(couch: Couch, config: Config, settings: Settings, begin: Callable[[str], None]) -> None:
    """Bring every database to this program's design documents, or leave it to a build it was upgraded to.

    Nobody waits for an index afterwards: documents that differ are staged, indexed and then exchanged (UPG-5), those
    that are staged already only exchanged (UPG-4). `begin` is told when indexes are built.
    """
    bundle = load_bundle(legacy=settings.get("client_views") == "legacy")  # DDOC-88
    dbs = {role: couch.db(name) for role, name in database_names(config).items()}
    now = datetime.now(UTC)
    logs = UpgradeLogs(dbs["logs"], dbs["medic"], lambda: datetime.now(UTC))
    deploy_info = {"user": config.couch_admin[0], "timestamp": iso_of(now)}  # DDOC-2
    found = await asyncio.gather(*(outdated(db, bundle.get(role, [])) for role, db in dbs.items()))
    pending = dict(zip(dbs, found, strict=True))
    current = await logs.current()
    if current is not None and await is_to_be_finished(dbs, bundle, current):
        await finish(dbs, logs, current)
        if current["to"] == version_of(bundle):
            await install_all(dbs, bundle, deploy_info)
        return
    if not any(pending.values()):
        return
    if all("_rev" not in ddoc for ddoc in pending["medic"]) and len(pending["medic"]) == len(bundle["medic"]):
        doc = installed_log(config, bundle, now)
        await install_all(dbs, bundle, {**deploy_info, "upgrade_log_id": doc["_id"]})
        await keep_log(logs, doc)
        return
    if await is_deployed_over(dbs, bundle):
        missing = {role: [ddoc for ddoc in ddocs if "_rev" not in ddoc] for role, ddocs in pending.items()}
        await install_all(dbs, missing, deploy_info)
        return
    wanted = await with_new_indexes(dbs, bundle, pending)
    if any(wanted.values()):
        if not await are_staged(dbs, wanted):
            await stage(dbs, wanted, deploy_info)
        begin("index")
        log.info("new design documents: building their indexes before the start")
        await warm(dbs)
        await swap(dbs, deploy_info)
    await install_all(dbs, bundle, deploy_info)


async def install_all(dbs: Databases, bundle: Bundle, deploy_info: Doc) -> None:
    for role, db in dbs.items():
        written = await install(db, bundle.get(role, []), deploy_info=deploy_info)
        if written:
            log.info("installed in %s: %s", db.name, ", ".join(written))


async def exchange(dbs: Databases, doc: Doc, moment: datetime) -> None:
    """Put what is staged in its place (UPG-16).

    `program` is the version of the program's own design documents: while a later start finds the same ones in the
    program, what was deployed stays.
    """
    program = version_of(await asyncio.to_thread(load_bundle))
    deploy_info = {"user": doc["user"], "upgrade_log_id": doc["_id"], "timestamp": iso_of(moment), "program": program}
    await swap(dbs, deploy_info)


async def is_to_be_finished(dbs: Databases, bundle: Bundle, doc: Doc) -> bool:
    """Whether an exchange was cut off, or what was staged is what this program brings (UPG-4)."""
    if doc["state"] in SWAPPING:
        return True
    if doc["state"] != "indexed" or doc["to"] != version_of(bundle):
        return False
    return await are_staged({"medic": dbs["medic"]}, bundle)


async def finish(dbs: Databases, logs: UpgradeLogs, doc: Doc) -> None:
    """Exchange what is staged before anything is answered; the worker cleans up and closes the log (`runner.py`)."""
    log.info("finishing the upgrade to %s", doc["to"])
    await warm(dbs)
    with suppress(Overtaken):  # a worker is faster
        for state in ("completing", "complete", "finalizing")[position(doc) :]:
            doc = await logs.move(doc["_id"], state)
    await exchange(dbs, doc, logs.now())


def position(doc: Doc) -> int:
    """How many of the states of an exchange are behind it."""
    return {"completing": 1, "complete": 2, "finalizing": 3}.get(doc["state"], 0)


async def is_deployed_over(dbs: Databases, bundle: Bundle) -> bool:
    """Whether what runs is a build that was deployed while the program had the design documents that it has now."""
    running = await dbs["medic"].find("_design/medic") or {}
    return bool((running.get("deploy_info") or {}).get("program") == version_of(bundle))


async def are_staged(dbs: Databases, wanted: Bundle) -> bool:
    """Whether the documents that wait in each database are those (UPG-4)."""
    for role, db in dbs.items():
        digests = {doc.get("digest") for doc in await staged_docs(db)}
        if {ddoc["digest"] for ddoc in wanted.get(role, [])} - digests:
            return False
    return True


async def with_new_indexes(dbs: Databases, bundle: Bundle, pending: Bundle) -> dict[str, list[Doc]]:
    """Of the documents to be installed those for which something has to be indexed first."""
    differences = {(each["db"], each["ddoc"]) for each in await compare(dbs, pending) if each["indexing"]}
    return {
        role: [ddoc for ddoc in bundle.get(role, []) if (db.name, ddoc["_id"]) in differences]
        for role, db in dbs.items()
    }


def version_of(bundle: Bundle) -> str:
    return str(bundle["medic"][0]["version"])


def installed_log(config: Config, bundle: Bundle, now: datetime) -> Doc:
    """The log of a fresh database's installation, which has no steps to be followed."""
    at_ms = ms_of(now)
    doc = new_log(at_ms, "install", config.couch_admin[0], "", bundle["medic"][0]["build_info"])
    return {
        **doc,
        "state": "finalized",
        "state_history": [*doc["state_history"], {"state": "finalized", "date": at_ms}],
    }


async def keep_log(logs: UpgradeLogs, doc: Doc) -> None:
    try:
        await logs.db.put(doc)
    except Conflict:
        log.info("another process installed at the same moment")
