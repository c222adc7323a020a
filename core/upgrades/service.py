"""What administrators ask of upgrades. The work itself is done by whoever follows the log (`runner.py`)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from core.config import Config
from core.couch.client import Couch, Doc
from core.couch.databases import database_names
from core.errors import Conflict, InvalidInput, NotFound
from core.settings import SETTINGS_ID, Settings
from core.upgrades.builds import Build, BuildName, is_older
from core.upgrades.compare import check_space, compare, free_bytes, needed_bytes
from core.upgrades.indexing import merged, running_indexers
from core.upgrades.log import Overtaken, UpgradeLogs, unfinished
from core.upgrades.sources import open_builds


class Upgrades:
    """The upgrades of one deployment, as its administrators see them."""

    def __init__(self, couch: Couch, config: Config, now: Callable[[], datetime]) -> None:
        self.couch = couch
        self.config = config
        self.main_db = couch.db(config.database)
        self.dbs = {role: couch.db(name) for role, name in database_names(config).items()}
        self.logs = UpgradeLogs(couch.db(config.db_name("logs")), self.main_db, now)

    async def start(self, action: str, body: Any, user: str) -> Doc:
        """Have a build staged (`stage`), or staged and completed (`upgrade`); the log (UPG-30, UPG-31).

        InvalidInput, NotFound for a build that is not there, Conflict while another upgrade is unfinished, DiskFull
        when its indexes have no room, unless the body says `force`.
        """
        build = await self.build_of(body)
        force = body.get("force", False)
        if not isinstance(force, bool):
            raise InvalidInput("`force` must be true or false")
        current = await self.logs.current()
        if current is not None:
            raise unfinished(current)
        plan = await self.plan(build)
        if not force:
            check_space(plan["needed_bytes"], plan["free_bytes"])
        downgrade = {"downgrade": True} if plan["downgrade"] else {}
        return await self.logs.begin(action, user, plan["from"], build.info, changes=plan["changes"], **downgrade)

    async def plan(self, build: Build) -> Doc:
        """What a build would do: `{from, to, changes, downgrade, needed_bytes, free_bytes}`; None free: not known."""
        running, changes = await self.running(), await self.differences(build)
        return {
            "from": str(running["version"]),
            "to": build.name.version,
            "changes": changes,
            "downgrade": is_older(build.info, running),
            "needed_bytes": needed_bytes(changes),
            "free_bytes": await free_bytes(self.couch),
        }

    async def complete(self) -> Doc:
        """Exchange the design documents for what is staged (UPG-32). NotFound when nothing is."""
        current = await self.logs.current()
        if current is None or current["state"] != "indexed":
            raise NotFound("Cannot find a staged upgrade that is ready for completion")
        return await self.move(current, "completing")

    async def abort(self) -> None:
        """Take back what is unfinished, or left by one that failed (UPG-34). Conflict while it is exchanged."""
        latest = await self.logs.latest()
        if latest is not None and latest["state"] not in ("finalized", "aborted"):
            await self.move(latest, "aborting")

    async def move(self, log: Doc, state: str) -> Doc:
        try:
            return await self.logs.move(log["_id"], state)
        except Overtaken:
            raise Conflict(f"The upgrade to {log['to']} is being finished at this moment") from None

    async def status(self) -> Doc:
        """`{upgradeDoc?, indexers, buildsUrl}` (UPG-33)."""
        current = await self.logs.current()
        indexers = []
        if current is not None:
            indexers = merged(current.get("indexers", []), await running_indexers(self.couch, self.dbs))
        shown = {"upgradeDoc": current} if current is not None else {}
        return {**shown, "indexers": indexers, "buildsUrl": open_builds(self.config).url}

    async def compare(self, body: Any) -> list[Doc]:
        """What the build of the body would change (UPG-38)."""
        return await self.differences(await self.build_of(body))

    async def differences(self, build: Build) -> list[Doc]:
        settings = Settings.from_doc(await self.main_db.get(SETTINGS_ID))
        return await compare(self.dbs, build.bundle(legacy=wants_legacy(settings)))

    async def releases(self) -> list[Doc]:
        """The builds there are, the newest first; `older` when it comes before what runs, `running` when it is that."""
        running = await self.running()
        return [
            {**info, "older": is_older(info, running), "running": info.get("version") == running["version"]}
            for info in await open_builds(self.config).releases()
        ]

    async def build_of(self, body: Any) -> Build:
        if not isinstance(body, dict) or not body.get("build"):
            raise InvalidInput("You must provide a build info body")
        return await open_builds(self.config).get(BuildName.of(body["build"]))

    async def running(self) -> Doc:
        """The build info of what runs now."""
        ddoc = await self.main_db.find("_design/medic") or {}
        return {"version": str(ddoc.get("version", "unknown")), **(ddoc.get("build_info") or {})}


def wants_legacy(settings: Settings) -> bool:
    """Whether clients before CHT 5 are served (DDOC-88)."""
    return bool(settings.get("client_views") == "legacy")
