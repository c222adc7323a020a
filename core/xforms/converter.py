"""Convert forms in a process of their own, which is started when it is needed and ends when it is idle (FORM-21)."""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import PIPE, Process
from contextlib import suppress
from dataclasses import dataclass

import orjson

from core.errors import DomainError, InvalidInput, TooLarge
from core.xforms.safe_xml import LARGEST_BYTES

TIME_LIMIT_S = 60.0  # 3,000 questions take ten seconds of the processor; the effort grows with their square
LARGEST_ANSWER_BYTES = 64 * 2**20


@dataclass(frozen=True)
class Conversion:
    """`form` is HTML, `model` XML; `warnings` tell the author what may not work as meant (FORM-41)."""

    form: bytes
    model: bytes
    warnings: tuple[str, ...] = ()


class Converter:
    """One form at a time; the others wait for their turn. A form that takes too long ends the process, not us."""

    def __init__(self, time_limit_s: float = TIME_LIMIT_S) -> None:
        self.time_limit_s = time_limit_s
        self._process: Process | None = None
        self._turn = asyncio.Lock()

    async def convert(self, xform: bytes) -> Conversion:
        """InvalidInput says why a form cannot be converted; TooLarge."""
        if len(xform) > LARGEST_BYTES:
            raise TooLarge(f"Form XML must not be larger than {LARGEST_BYTES} bytes")
        async with self._turn:
            message = await self._ask(xform)
        answer = orjson.loads(message)
        if "error" in answer:
            raise InvalidInput(answer["error"])
        return Conversion(answer["form"].encode(), answer["model"].encode(), tuple(answer["warnings"]))

    async def close(self) -> None:
        process, self._process = self._process, None
        if process is not None and process.returncode is None:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    async def _ask(self, xform: bytes) -> bytes:
        try:
            async with asyncio.timeout(self.time_limit_s):
                for _ in range(2):  # one that was idle may end while we write
                    message = await self._exchange(xform)
                    if message is not None:
                        return message
        except TimeoutError as error:
            await self.close()
            raise InvalidInput(f"Form XML could not be converted within {self.time_limit_s:g} seconds") from error
        except BaseException:
            await self.close()  # half a message may be on its way
            raise
        raise DomainError("The conversion of the form ended unexpectedly")

    async def _exchange(self, xform: bytes) -> bytes | None:
        """The answer; None when the process ended before there was one."""
        process = await self._running()
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(len(xform).to_bytes(4, "big") + xform)
            await process.stdin.drain()
            length = int.from_bytes(await process.stdout.readexactly(4), "big")
            if length > LARGEST_ANSWER_BYTES:
                raise InvalidInput("Form XML is too large to be converted")
            return await process.stdout.readexactly(length)
        except (ConnectionError, asyncio.IncompleteReadError):
            await self.close()
            return None

    async def _running(self) -> Process:
        if self._process is None or self._process.returncode is not None:
            command = (sys.executable, "-m", "core.xforms.worker")
            self._process = await asyncio.create_subprocess_exec(
                *command, stdin=PIPE, stdout=PIPE, start_new_session=True
            )
        return self._process
