"""Let a district report for some days to a real API and real workers, and bring everything to rest at each moment."""

from __future__ import annotations

import asyncio
import random
import re
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp.test_utils import TestServer

from api.app import create_app
from core.config import Config
from core.couch.client import Couch, Database, connect
from core.dates import local_zone, ms_of
from core.prepare import prepare
from sentinel.checkpoint import Checkpoint
from sentinel.lease import LEASE_ID
from sentinel.retries import PREFIX as RETRIES
from tests.district.clock import SharedClock
from tests.district.gateway import Gateway
from tests.district.scenario import HOURS, SETTINGS, TEXTS, Doc, Worker, contacts, workers

FIRST_DAY = datetime(2031, 3, 3)
REGISTERED = re.compile(r"Registered (\S+) as (\d+)")
# How long a moment may need before the clock is moved a little, for what waits for its next attempt.
PATIENCE_S = 3.0
LONGEST_MOMENT_S = 300.0


@dataclass(frozen=True)
class Plan:
    """How large, how long, and how bad. `kills` 0 is a perfect world: one sentinel that lives, a gateway that hears."""

    workers: int
    days: int
    activity: float
    kills: int
    seed: int = 1

    @property
    def undisturbed(self) -> Plan:
        return replace(self, kills=0)


@dataclass
class Outcome:
    """`messages` has each that the gateway was given, with the moment it was first given: `(moment, to, content)`."""

    docs: dict[str, Doc]
    infos: dict[str, Doc]
    messages: list[tuple[str, str, str]]
    ids: list[str]
    killed: int
    losses: int
    took_s: float


class Sentinels:
    """Processes of the worker: one, or two of which one stands by."""

    def __init__(self, couch_url: str, clock_file: Path, count: int) -> None:
        self.command = [sys.executable, "-m", "tests.district.clocked_sentinel", couch_url, str(clock_file)]
        self.count = count
        self.running: list[asyncio.subprocess.Process] = []

    async def fill(self) -> None:
        while len(self.running) < self.count:
            self.running.append(await asyncio.create_subprocess_exec(*self.command))

    async def kill(self, pid: int | None) -> None:
        """Kill the process of that number, else any; another takes its place."""
        victim = next((each for each in self.running if each.pid == pid), self.running[0])
        victim.send_signal(signal.SIGKILL)
        await victim.wait()
        self.running.remove(victim)
        await self.fill()

    async def close(self) -> None:
        for process in self.running:
            process.kill()
        for process in self.running:
            await process.wait()

    def check(self) -> None:
        for process in self.running:
            assert process.returncode is None, f"sentinel {process.pid} ended with {process.returncode}"


@dataclass
class Simulation:
    """One district on one database. The clock moves only when everybody has come to rest."""

    plan: Plan
    config: Config
    couch: Couch
    clock: SharedClock
    sentinels: Sentinels
    gateway: Gateway
    chance: random.Random
    people: list[Worker]
    kills: list[tuple[int, float]] = field(default_factory=list)
    killed: int = 0
    messages: list[tuple[str, str, str]] = field(default_factory=list)

    @property
    def db(self) -> Database:
        return self.couch.db(self.config.database)

    @property
    def sentinel_db(self) -> Database:
        return self.couch.db(self.config.db_name("sentinel"))

    async def run(self) -> None:
        moments = [
            FIRST_DAY.replace(tzinfo=local_zone()) + timedelta(days=day, hours=hour)
            for day in range(self.plan.days)
            for hour in HOURS
        ]
        # Each kill comes at a moment and so long after its beginning.
        at = sorted(self.chance.randrange(len(moments)) for _ in range(self.plan.kills))
        self.kills = [(number, self.chance.uniform(0.0, 1.2)) for number in at]
        for number, moment in enumerate(moments):
            self.clock.set(moment)
            killing = asyncio.create_task(self.kill_during(number))
            await self.rest()  # what is due is sent before a report may call it off
            await self.report(moment)
            await self.rest()
            await killing
            await self.rest()
            self.learn(moment)

    async def kill_during(self, number: int) -> None:
        """Mostly the active one dies, sometimes the other."""
        for delay_s in sorted(delay_s for at, delay_s in self.kills if at == number):
            await asyncio.sleep(delay_s)
            lease = await self.sentinel_db.find(LEASE_ID) or {}
            await self.sentinels.kill(lease.get("pid") if self.chance.random() < 0.8 else None)
            self.killed += 1

    async def report(self, moment: datetime) -> None:
        docs = []
        for worker in self.people:
            message = worker.report((moment - moment.replace(day=1)).days, moment.hour, ms_of(moment))
            if message is None:
                continue
            if message.sms:
                self.gateway.receive(*message.sms)
            elif message.doc:
                docs.append(message.doc)
        phones = asyncio.create_task(self.from_phones(docs))
        while await self.gateway.exchange():
            pass
        await phones

    async def from_phones(self, docs: list[Doc]) -> None:
        if docs:
            url = f"{self.gateway.url}/{self.config.database}/_bulk_docs"
            async with self.gateway.session.post(url, json={"docs": docs}) as response:
                assert response.status == 201, await response.text()

    async def rest(self) -> None:
        """Until every change is processed, every due message sent and acknowledged, and nothing waits."""
        begun_s = moved_s = time.monotonic()
        while True:
            while await self.gateway.exchange():
                pass
            left = await self.unfinished()
            if not left:
                return
            self.sentinels.check()
            waited_s = time.monotonic() - begun_s
            assert waited_s < LONGEST_MOMENT_S, f"{self.clock():%d %b %H:%M}: {left} after {waited_s:.0f} s"
            if time.monotonic() - moved_s > PATIENCE_S:
                self.clock.move(seconds=30)
                moved_s = time.monotonic()
            await asyncio.sleep(0.05)

    async def unfinished(self) -> str | None:
        position = await Checkpoint(self.sentinel_db).read()
        if (await self.db.changes(position, limit=1))["results"]:
            return "changes to process"
        retries = await self.sentinel_db.all_docs(startkey=RETRIES, endkey=RETRIES + "\ufff0", include_docs=True)
        if retries:
            return f"changes to try again: {[row['doc']['error'] for row in retries]}"
        now_ms = ms_of(self.clock())
        for state, last in (("scheduled", now_ms), ("pending", {}), ("forwarded-to-gateway", {})):
            rows = await self.db.view("medic", "messages_by_state", startkey=[state, 0], endkey=[state, last])
            if rows:
                return f"{len(rows)} messages {state}"
        return None

    def learn(self, moment: datetime) -> None:
        """Workers read what came to them: the codes of those they registered."""
        by_phone = {worker.phone: worker for worker in self.people}
        for to, content in self.gateway.fresh:
            self.messages.append((f"{moment:%m-%d %H}", to, content))
            registered = REGISTERED.fullmatch(content)
            if registered and to in by_phone:
                by_phone[to].patients[registered[1]] = registered[2]
        self.gateway.fresh.clear()


@asynccontextmanager
async def api(config: Config, clock: SharedClock) -> AsyncIterator[str]:
    """The URL of an API that ends a request as soon as its client hangs up, as the real one does."""
    server = TestServer(create_app(config, clock))
    await server.start_server()
    try:
        yield str(server.make_url("")).rstrip("/")
    finally:
        await server.close()


async def simulate(plan: Plan, config: Config, folder: Path) -> Outcome:
    """Prepare a database, live through all days, and give what is left. The database is removed."""
    begun_s = time.monotonic()
    clock_file = folder / f"clock-{config.database}"
    clock = SharedClock(clock_file)
    clock.set(FIRST_DAY.replace(tzinfo=local_zone()))
    people = workers(plan.workers, plan.activity, plan.seed)
    chance = random.Random(f"{plan.seed} {plan.kills}")
    sentinels = Sentinels(str(config.couch_url), clock_file, 2 if plan.kills else 1)
    async with connect(config) as couch:
        await prepare(couch, config)
        try:
            db = couch.db(config.database)
            await db.update("settings", lambda doc: {**(doc or {}), "settings": SETTINGS})
            await db.update("messages-en", lambda doc: {**(doc or {}), "custom": TEXTS})
            await db.bulk_docs(contacts(people))
            await sentinels.fill()
            headers = {"Authorization": config.authorization}
            async with api(config, clock) as url, aiohttp.ClientSession(headers=headers) as session:
                gateway = Gateway(session, url, random.Random(chance.random()) if plan.kills else None)
                simulation = Simulation(plan, config, couch, clock, sentinels, gateway, chance, people)
                await simulation.run()
            return Outcome(
                docs=await everything(db),
                infos=await everything(couch.db(config.db_name("sentinel")), "-info"),
                messages=simulation.messages,
                ids=list(gateway.sent),
                killed=simulation.killed,
                losses=gateway.losses,
                took_s=time.monotonic() - begun_s,
            )
        finally:
            await sentinels.close()
            clock.close()
            for name in await couch.all_dbs():
                if name == config.database or name.startswith(f"{config.database}-"):
                    await couch.db(name).delete_database()


async def both_worlds(plan: Plan, config: Config, folder: Path) -> tuple[Outcome, Outcome]:
    """The plan, and beside it the same without any disturbance, on databases of their own."""
    bad, good = (config.with_couch_url(f"{config.couch_url}-{name}") for name in ("bad", "good"))
    async with asyncio.TaskGroup() as group:
        disturbed = group.create_task(simulate(plan, bad, folder))
        undisturbed = group.create_task(simulate(plan.undisturbed, good, folder))
    return disturbed.result(), undisturbed.result()


async def everything(db: Database, ending: str = "") -> dict[str, Doc]:
    rows: list[dict[str, Any]] = await db.all_docs(include_docs=True)
    return {
        row["id"]: row["doc"] for row in rows if row["id"].endswith(ending) and not row["id"].startswith("_design/")
    }
