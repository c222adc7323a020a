"""What is changed in a database once, when a newer version first starts on it (60 §14)."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date

from core.config import Config
from core.couch.client import Couch, Doc
from core.errors import Conflict

log = logging.getLogger(__name__)

LOG_ID = "migration-log"


@dataclass(frozen=True)
class Migration:
    """A change that is safe to run again: it may be cut off before its name is noted. Names are never used twice."""

    name: str
    created: date
    run: Callable[[Couch, Config], Awaitable[None]]


MIGRATIONS: tuple[Migration, ...] = ()

# Those of CHT, which concern databases older than what we read: done, so that a database can be given back to CHT.
DONE_ELSEWHERE = (
    "add-resources-doc",
    "restrict-access-to-audit-db",
    "extract-transition-seq",
    "restrict-access-to-sentinel-db",
    "add-meta-validate-doc-update",
    "remove-user-language",
    "restrict-access-to-vault-db",
    "add-cht-branding-doc",
    "add-contact-id-to-user-docs",
    "remove-enabled-from-translation-docs",
)


async def migrate(couch: Couch, config: Config, migrations: Sequence[Migration] = MIGRATIONS) -> None:
    """Run what has not run yet, in the order of its dates, noting each; a failure is raised and stops the start."""
    db = couch.db(config.database)
    done = (await db.find(LOG_ID) or {}).get("migrations")
    if done is None:
        done = list(DONE_ELSEWHERE)
        with suppress(Conflict):  # another process starts at the same moment
            await db.put({"_id": LOG_ID, "type": "meta", "migrations": done})
    for migration in sorted(migrations, key=lambda each: (each.created, each.name)):
        if migration.name not in done:
            log.info("migration %s", migration.name)
            await migration.run(couch, config)
            await db.update(LOG_ID, lambda doc, name=migration.name: with_name(doc, name))  # type: ignore[misc]


def with_name(doc: Doc | None, name: str) -> Doc | None:
    known = (doc or {}).get("migrations", [])
    return None if name in known else {"type": "meta", **(doc or {}), "migrations": [*known, name]}
