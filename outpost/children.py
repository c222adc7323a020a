"""One process that should be running: started, started again when it dies, replaced without a gap, stopped."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from prometheus_client.multiprocess import mark_process_dead

from outpost.processes import LISTENER, READY, SUPERVISED

log = logging.getLogger(__name__)

FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 10.0
HEALTHY_AFTER_S = 30.0
READY_WITHIN_S = 60.0
LEAVE_WITHIN_S = 20.0  # before the next process has its turn; it may take longer to end


@dataclass(eq=False)
class Running:
    """A process that was started, and our end of its standard input."""

    process: asyncio.subprocess.Process
    writer: asyncio.StreamWriter
    said: asyncio.Task[bytes]

    async def is_ready(self) -> bool:
        """Wait until it says that it does its work; False when it ends instead, or does not say so in time."""
        await asyncio.wait({self.said}, timeout=READY_WITHIN_S)
        said = self.said
        return said.done() and not said.cancelled() and said.exception() is None and said.result() == READY

    async def end(self, sign: signal.Signals, within_s: float) -> bool:
        """Send the signal; whether the process ended in time."""
        if self.process.returncode is None:
            self.process.send_signal(sign)
        waiting = asyncio.create_task(self.process.wait())
        done, _ = await asyncio.wait({waiting}, timeout=within_s)
        waiting.cancel()
        return bool(done)

    async def stop(self, name: str, grace_s: float) -> None:
        """SIGTERM, then SIGKILL after `grace_s` seconds."""
        if not await self.end(signal.SIGTERM, grace_s):
            log.warning("%s did not stop within %.1f s; killing it", name, grace_s)
            self.process.kill()
            await self.process.wait()


@dataclass
class Child:
    """`outpost <command>`. A worker has a `listener`, which stays when it goes."""

    name: str
    command: str
    env: Mapping[str, str]
    listener: socket.socket | None = None
    running: Running | None = None
    task: asyncio.Task[None] | None = field(default=None, repr=False)
    leaving: dict[asyncio.Task[None], Running] = field(default_factory=dict, repr=False)
    pause_s: float = FIRST_PAUSE_S
    stopping: bool = False

    def begin(self, running: Running | None = None) -> None:
        """Keep a process of this kind running from now on; it is that one at first."""
        self.task = asyncio.create_task(self.run(running), name=self.name)

    async def run(self, running: Running | None) -> None:
        """Until told to stop, or replaced: a death is followed by a restart after a growing pause."""
        while True:
            started = time.monotonic()
            try:
                if running is None:
                    running = self.running = await self.start()
                ended = how_it_ended(await self.until_ended(running))
            except OSError as error:  # no memory for it, or the program is being replaced
                ended = f"it cannot be started: {error}"
            if self.stopping or self.running is not running:
                return
            self.pause_s = FIRST_PAUSE_S if time.monotonic() - started > HEALTHY_AFTER_S else self.pause_s
            log.warning("%s ended (%s); starting it again in %.1f s", self.name, ended, self.pause_s)
            await asyncio.sleep(self.pause_s)
            self.pause_s = min(self.pause_s * 2, LONGEST_PAUSE_S)
            if self.stopping or self.running is not running:
                return
            running = self.running = None

    async def until_ended(self, running: Running) -> int:
        """Wait for its end and clear up after it; its exit code."""
        if self.stopping:
            running.process.terminate()
        code = await running.process.wait()
        running.said.cancel()
        running.writer.close()
        metrics = self.env["PROMETHEUS_MULTIPROC_DIR"]
        mark_process_dead(running.process.pid, metrics)  # type: ignore[no-untyped-call]
        return code

    async def start(self) -> Running:
        """Raises OSError when the system cannot start it."""
        ours, theirs = socket.socketpair()
        env = {**self.env, SUPERVISED: "1"}
        handles: tuple[int, ...] = ()
        if self.listener is not None:
            handles = (self.listener.fileno(),)
            env[LISTENER] = str(self.listener.fileno())
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "outpost",
                self.command,
                env=env,
                stdin=theirs.fileno(),
                pass_fds=handles,
                start_new_session=True,  # Ctrl-C reaches the supervisor alone, which stops the others in order
            )
        except OSError:
            ours.close()
            raise
        finally:
            theirs.close()
        log.info("%s runs as process %d", self.name, process.pid)
        reader, writer = await asyncio.open_connection(sock=ours)
        return Running(process, writer, asyncio.create_task(reader.readline()))

    async def until_ready(self) -> None:
        """Wait until a process of this kind does its work; one that dies first is followed by another."""
        while self.running is None or not await self.running.is_ready():  # noqa: ASYNC110  no event tells of the next
            await asyncio.sleep(FIRST_PAUSE_S)

    async def replace(self) -> bool:
        """Start another one and, when that does its work, let the old one leave; False when it does not get ready.

        Neither lets go of what the other needs: workers share a listener, the access index and sentinel's lease are
        taken over when their holder gives them back.
        """
        if self.stopping:
            return False
        try:
            successor = await self.start()
        except OSError as error:
            log.error("%s is not replaced: it cannot be started: %s", self.name, error)
            return False
        ready = False
        try:
            ready = await successor.is_ready() and not self.stopping
        finally:
            if not ready:
                successor.process.kill()
        if not ready:
            log.error("%s is not replaced: the new process did not get ready", self.name)
            await self.run(successor)
            return False
        old, old_task, self.running = self.running, self.task, successor
        self.begin(successor)
        if old is not None and old_task is not None:
            self.leaving[old_task] = old
            old_task.add_done_callback(lambda task: self.leaving.pop(task, None))
            sign = signal.SIGUSR1 if self.listener else signal.SIGTERM
            if not await old.end(sign, LEAVE_WITHIN_S):
                log.info("the former %s still writes answers", self.name)
        return True

    async def stop(self, grace_s: float) -> None:
        """SIGTERM, then SIGKILL after `grace_s` seconds."""
        self.stopping = True
        ended = self.running is None or self.running.process.returncode is not None
        if ended and self.task:
            self.task.cancel()
        alive = [*self.leaving.values(), *([] if ended or self.running is None else [self.running])]
        await asyncio.gather(*(each.stop(self.name, grace_s) for each in alive))

    @property
    def tasks(self) -> list[asyncio.Task[None]]:
        return [*self.leaving, *([self.task] if self.task else [])]


async def run_to_its_end(command: str, env: Mapping[str, str]) -> bool:
    """Whether `outpost <command>`, of the program that is installed now, does what it should."""
    try:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "outpost", command, env=env, stdin=asyncio.subprocess.DEVNULL, start_new_session=True
        )
    except OSError as error:
        log.error("%s cannot be started: %s", command, error)
        return False
    try:
        return await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()


def how_it_ended(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
