"""Start the processes of one machine, bring back what dies, and stop all of them cleanly."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import signal
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from prometheus_client.multiprocess import mark_process_dead

from api.startup import answering_startup
from core.config import Config
from core.couch.client import connect
from outpost import machine
from outpost.processes import SUPERVISED
from outpost.readiness import make_ready

log = logging.getLogger(__name__)

FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 10.0
HEALTHY_AFTER_S = 30.0
STOP_STORE_S = 2.5


@dataclass
class Child:
    """One process that should be running: `outpost <command>`."""

    name: str
    command: str
    env: Mapping[str, str]
    process: asyncio.subprocess.Process | None = None
    pause_s: float = FIRST_PAUSE_S
    stopping: bool = False
    task: asyncio.Task[None] | None = field(default=None, repr=False)

    async def run(self) -> None:
        """Keep it running until told to stop: a death is followed by a restart after a growing pause."""
        while not self.stopping:
            started = time.monotonic()
            code = await self.run_once()
            if self.stopping:
                return
            self.pause_s = FIRST_PAUSE_S if time.monotonic() - started > HEALTHY_AFTER_S else self.pause_s
            log.warning("%s ended (%s); starting it again in %.1f s", self.name, how_it_ended(code), self.pause_s)
            await asyncio.sleep(self.pause_s)
            self.pause_s = min(self.pause_s * 2, LONGEST_PAUSE_S)

    async def run_once(self) -> int:
        self.process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "outpost",
            self.command,
            env={**self.env, SUPERVISED: "1"},
            stdin=asyncio.subprocess.PIPE,
            start_new_session=True,  # Ctrl-C reaches the supervisor alone, which stops the others in order
        )
        log.info("%s runs as process %d", self.name, self.process.pid)
        if self.stopping:
            self.process.terminate()
        code = await self.process.wait()
        mark_process_dead(self.process.pid, self.env["PROMETHEUS_MULTIPROC_DIR"])  # type: ignore[no-untyped-call]
        return code

    async def stop(self, grace_s: float) -> None:
        """SIGTERM, then SIGKILL after `grace_s` seconds."""
        self.stopping = True
        if self.process is None or self.process.returncode is not None:
            if self.task:
                self.task.cancel()
            return
        self.process.terminate()
        try:
            async with asyncio.timeout(grace_s):
                await self.process.wait()
        except TimeoutError:
            log.warning("%s did not stop within %.1f s; killing it", self.name, grace_s)
            self.process.kill()
            await self.process.wait()


def how_it_ended(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


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

    def start(self, name: str, command: str) -> Child:
        child = Child(name, command, child_environment(self.config))
        child.task = asyncio.create_task(child.run(), name=name)
        self.children.append(child)
        return child

    async def stop_all(self) -> None:
        """Everything but the store first, together; the store when nobody writes any more. Within 10 seconds."""
        store = [child for child in self.children if child.command == "store"]
        others = [child for child in self.children if child.command != "store"]
        await asyncio.gather(*(child.stop(self.config.drain_s + 1) for child in others))
        await asyncio.gather(*(child.stop(STOP_STORE_S) for child in store))
        await asyncio.gather(*(child.task for child in self.children if child.task), return_exceptions=True)


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
        "PROMETHEUS_MULTIPROC_DIR": str(shared_metrics(config)),
        "PYTHONUNBUFFERED": "1",
    }
    return env


def shared_metrics(config: Config) -> Path:
    """The folder in which the API's processes share what they count."""
    return config.data.absolute() / "metrics" / str(config.port)


def make_shared_metrics(config: Config) -> None:
    """Counting begins with nothing: the processes of another run are gone."""
    shutil.rmtree(shared_metrics(config), ignore_errors=True)
    shared_metrics(config).mkdir(parents=True, mode=0o700)


async def serve_everything(config: Config) -> int:
    """`outpost serve`: the embedded store unless COUCH_URL is set, access indexer, API workers, sentinel."""
    machine.prepare_folder(config.data)
    embedded = config.couch_url is None
    with machine.lock_folder(config.data), machine.hold_port(config.host, config.port) as held:
        config = config.replace(port=port_of(held))
        if embedded:
            store_port = machine.free_port("127.0.0.1", config.store_port, "the embedded store")
            config = machine.with_password(config.replace(store_port=store_port))
        return await supervise(
            config, ["store"] if embedded else [], ["index", *["worker"] * config.workers, "sentinel"]
        )


async def serve_api(config: Config) -> int:
    """`outpost api`: API workers and the access indexer."""
    machine.prepare_folder(config.data)
    with machine.hold_port(config.host, config.port) as held:
        return await supervise(config.replace(port=port_of(held)), [], ["index", *["worker"] * config.workers])


async def supervise(config: Config, first: Sequence[str], then: Sequence[str]) -> int:
    """Start the first commands, make CouchDB ready, start the others; stop all at SIGTERM. The exit code."""
    make_shared_metrics(config)
    supervisor = Supervisor(config)
    supervisor.listen_to_signals()
    try:
        for command in first:
            supervisor.start(command, command)
        async with answering_startup(config) as start_up, connect(config) as couch:
            preparing = make_ready(couch, config, embedded=bool(first), begin=start_up.begin)
            if not await first_of(asyncio.create_task(preparing), supervisor.stopped):
                return 0
        for name, command in named(then):
            supervisor.start(name, command)
        listening = asyncio.create_task(wait_until_listening(config))
        if await first_of(listening, supervisor.stopped):
            print(banner(config, embedded=bool(first)), flush=True)
        await supervisor.stopped.wait()
        log.info("stopping")
        return 0
    finally:
        await supervisor.stop_all()


def named(commands: Sequence[str]) -> list[tuple[str, str]]:
    """Each command with the name of its process: `worker[0]`, `worker[1]` where there are several of a kind."""
    names = [f"{command}[{commands[:at].count(command)}]" for at, command in enumerate(commands)]
    return [(name if command == "worker" else command, command) for name, command in zip(names, commands, strict=True)]


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


async def wait_until_listening(config: Config) -> None:
    host = "127.0.0.1" if config.host in ("0.0.0.0", "::") else config.host
    while True:
        try:
            _, writer = await asyncio.open_connection(host, config.port)
        except OSError:
            await asyncio.sleep(0.05)
        else:
            writer.close()
            await writer.wait_closed()
            return


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


def port_of(held: socket.socket) -> int:
    return int(held.getsockname()[1])
