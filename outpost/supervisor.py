"""Start the processes of one machine, bring back what dies, and stop all of them cleanly."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
from collections.abc import Sequence

from api.startup import answering_startup
from core.config import Config
from core.couch.client import connect
from outpost import machine
from outpost.children import Child, run_to_its_end
from outpost.readiness import make_ready
from outpost.upgrades import UpgradeWatch

log = logging.getLogger(__name__)

STOP_STORE_S = 2.5


class Supervisor:
    """The children of this machine, in the order in which they start."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.stopped = asyncio.Event()
        self.children: list[Child] = []

    def listen_to_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for name in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(name, self.stopped.set)

    def start(self, name: str, command: str, listener: socket.socket | None = None) -> Child:
        child = Child(name, command, child_environment(self.config), listener)
        child.begin()
        self.children.append(child)
        return child

    async def replace_all(self) -> bool:
        """Everything but the store, one after the other, without refusing a request; whether all were replaced.

        The processes may be of another version than we are, which prepares CouchDB first; nothing is replaced by a
        version that cannot.
        """
        if not await run_to_its_end("prepare", child_environment(self.config)):
            log.error("nothing is replaced: the program that is installed now could not prepare CouchDB")
            return False
        replaced = []
        for child in self.children:
            if child.command != "store" and not self.stopped.is_set():
                log.info("replacing %s", child.name)
                replaced.append(await child.replace())
        return all(replaced) and not self.stopped.is_set()

    async def stop_all(self) -> None:
        """Everything but the store first, together; the store when nobody writes any more. Within 10 seconds."""
        store = [child for child in self.children if child.command == "store"]
        others = [child for child in self.children if child.command != "store"]
        await asyncio.gather(*(child.stop(self.config.drain_s + 1) for child in others))
        await asyncio.gather(*(child.stop(STOP_STORE_S) for child in store))
        await asyncio.gather(*(task for child in self.children for task in child.tasks), return_exceptions=True)


def child_environment(config: Config) -> dict[str, str]:
    """The whole configuration as environment variables, so that every process reads the same."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("OUTPOST_")}
    env |= {
        "COUCH_URL": config.couch_url or "",
        "OUTPOST_HOST": config.host,
        "OUTPOST_PORT": str(config.port),
        "OUTPOST_STORE_PORT": str(config.store_port),
        "OUTPOST_DATA": str(config.data.absolute()),
        "OUTPOST_WORKERS": str(config.workers),
        "OUTPOST_TRUSTED_PROXIES": ",".join(map(str, config.trusted_proxies)) or "none",
        "OUTPOST_ALLOW_CORS": str(config.allow_cors).lower(),
        "OUTPOST_FORCE_PASSWORD_CHANGE": str(config.force_password_change).lower(),
        "OUTPOST_AUDIT": str(config.audit).lower(),
        "COMPAT": config.compat,
        "OUTPOST_LOGIN_FAILURES": str(config.login_failures),
        "OUTPOST_LOG_FORMAT": config.log_format,
        "OUTPOST_LOG_LEVEL": config.log_level,
        "BUILDS_URL": config.builds_url or "",
        "REDIS_URL": config.redis_url or "",
        "PROMETHEUS_MULTIPROC_DIR": str(config.metrics_dir),
        "PYTHONUNBUFFERED": "1",
    }
    if config.admin_password:
        env["OUTPOST_ADMIN"] = f"{config.admin_name}:{config.admin_password}"
    return env


async def serve_everything(config: Config) -> int:
    """`outpost serve`: the embedded store unless COUCH_URL is set, access indexer, API workers, sentinel."""
    machine.prepare_folder(config.data)
    embedded = config.couch_url is None
    with machine.lock_folder(config.data), machine.listening(config.host, config.port, config.workers) as listeners:
        config = config.replace(port=port_of(listeners))
        if embedded:
            store_port = machine.free_port("127.0.0.1", config.store_port, "the embedded store")
            config = machine.with_password(config.replace(store_port=store_port))
        return await supervise(config, listeners, ["store"] if embedded else [], ["sentinel"])


async def serve_api(config: Config) -> int:
    """`outpost api`: API workers and the access indexer."""
    machine.prepare_folder(config.data)
    with machine.listening(config.host, config.port, config.workers) as listeners:
        return await supervise(config.replace(port=port_of(listeners)), listeners, [], [])


async def supervise(
    config: Config, listeners: Sequence[socket.socket], first: Sequence[str], last: Sequence[str]
) -> int:
    """Start the first commands, make CouchDB ready, start the API and the last commands; stop all at SIGTERM.

    There is a worker for each listener. Returns the exit code.
    """
    with machine.shared_metrics(config) as metrics_dir:
        supervisor = Supervisor(config.replace(metrics_dir=metrics_dir))
        supervisor.listen_to_signals()
        try:
            for command in first:
                supervisor.start(command, command)
            async with connect(config) as couch:
                async with answering_startup(listeners) as start_up:
                    preparing = make_ready(couch, config, embedded=bool(first), begin=start_up.begin)
                    if not await first_of(asyncio.create_task(preparing), supervisor.stopped):
                        return 0
                upgrades = UpgradeWatch(couch, config, supervisor.replace_all)
                await upgrades.begin()
                supervisor.start("index", "index")
                workers = [
                    supervisor.start(f"worker[{number}]", "worker", each) for number, each in enumerate(listeners)
                ]
                for command in last:
                    supervisor.start(command, command)
                if await first_of(asyncio.create_task(until_ready(workers)), supervisor.stopped):
                    print(banner(config, embedded=bool(first)), flush=True)
                    await first_of(asyncio.create_task(upgrades.follow()), supervisor.stopped)
            log.info("stopping")
            return 0
        finally:
            await supervisor.stop_all()


async def until_ready(workers: Sequence[Child]) -> None:
    await asyncio.gather(*(worker.until_ready() for worker in workers))


async def first_of(task: asyncio.Task[None], stopped: asyncio.Event) -> bool:
    """Wait for the task (True; its error is raised) or for the order to stop (False; the task is cancelled)."""
    stop = asyncio.create_task(stopped.wait())
    await asyncio.wait({task, stop}, return_when=asyncio.FIRST_COMPLETED)
    stop.cancel()
    if task.done():
        await task
        return True
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return False


def banner(config: Config, *, embedded: bool) -> str:
    """Where to go and with which login, in plain words."""
    name, password = config.couch_admin
    if embedded:
        kept = config.data.absolute() / machine.PASSWORD_FILE
        login = f"{name} / {password}" + (f"  (kept in {kept})" if kept.exists() else "")
        store = f"embedded, http://127.0.0.1:{config.store_port}/{config.database}"
    else:
        login = f"{name} and the password in COUCH_URL"
        store = f"{config.server_url}/{config.database}"
    return (
        f"\nOutpost is ready.\n"
        f"  Address:      http://{config.host}:{config.port}\n"
        f"  Login:        {login}\n"
        f"  Data folder:  {config.data.absolute()}\n"
        f"  Database:     {store}\n"
        f'  Passwords:    short ones are accepted; set app setting password_policy to "cht" to refuse weak ones\n'
        f"  Next:         outpost demo   (loads a sample district and says what to try)\n"
        f"  Stop:         Ctrl-C\n"
    )


def port_of(listeners: Sequence[socket.socket]) -> int:
    return int(listeners[0].getsockname()[1])
