"""The log of an upgrade, where several have a hand in it."""

from __future__ import annotations

from core.config import Config
from core.couch.client import Couch, Database, Doc
from core.upgrades.log import MIRROR_ID, UpgradeLogs
from core.upgrades.runner import utc_now

INFO = {"namespace": "medic", "application": "medic", "version": "5.0.1"}


class WithQuickWorker(Database):
    """A logs database whose worker is at work before whoever wrote a log hears that it is written."""

    async def put(self, doc: Doc) -> str:
        rev = await super().put(doc)
        if doc["state"] == "initiated":
            main_db = self.couch.db(self.name.removesuffix("-logs"))
            await UpgradeLogs(self.couch.db(self.name), main_db, utc_now).move(doc["_id"], "staged")
        return rev


async def test_a_worker_may_be_quicker_than_who_asked(couch: Couch, config: Config, db: Database) -> None:
    logs = UpgradeLogs(WithQuickWorker(couch, config.db_name("logs")), db, utc_now)
    await logs.db.create()
    begun = await logs.begin("stage", "ann", "5.0.0", INFO)
    current = await logs.current()

    assert current is not None
    assert (current["_id"], current["state"]) == (begun["_id"], "staged")
    assert (await db.get(MIRROR_ID))["state"] == "staged"
