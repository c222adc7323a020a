"""Convert forms in a process of their own, which is started when it is needed and ends when it is idle (FORM-21)."""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import orjson

from core.errors import InvalidInput, TooLarge
from core.xforms.archive import LARGEST_BYTES as LARGEST_XLSX_BYTES
from core.xforms.safe_xml import LARGEST_BYTES

TIME_LIMIT_S = 60.0  # 3,000 questions take ten seconds of the processor; the effort grows with their square
LARGEST_ANSWER_BYTES = 64 * 2**20


@dataclass(frozen=True)
class Conversion:
    """`form` is HTML, `model` XML; `warnings` tell the author what may not work as meant (FORM-41)."""

    form: bytes
    model: bytes
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class XlsformConversion(Conversion):
    """With the XForm that the table stands for; `itemsets` is the CSV file that it asks for, if any."""

    xform: bytes = b""
    itemsets: str | None = None


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
        answer = await self._ask({}, xform)
        return Conversion(answer["form"].encode(), answer["model"].encode(), tuple(answer["warnings"]))

    async def convert_xlsform(
        self, xlsform: bytes, *, name: str | None = None, hidden_fields: Sequence[str] = (), collect: bool = False
    ) -> XlsformConversion:
        """An .xlsx file. `name` is the form's id where the table gives none; InvalidInput, TooLarge.

        The error's `details` hold `problems`, each `{message, sheet?, row?, column?, cell?}`.
        """
        if len(xlsform) > LARGEST_XLSX_BYTES:
            raise TooLarge(f"The XLSForm must not be larger than {LARGEST_XLSX_BYTES} bytes")
        options = {"xlsform": True, "name": name, "hidden_fields": list(hidden_fields), "collect": collect}
        answer = await self._ask(options, xlsform)
        return XlsformConversion(
            form=answer["form"].encode(),
            model=answer["model"].encode(),
            warnings=tuple(answer["warnings"]),
            xform=answer["xform"].encode(),
            itemsets=answer["itemsets"],
        )

    async def close(self) -> None:
        process, self._process = self._process, None
        if process is not None and process.returncode is None:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    async def _ask(self, options: dict[str, Any], form: bytes) -> dict[str, Any]:
        """What the process answers to a form, when it is this one's turn."""
        async with self._turn:
            message = await self._answer(framed(orjson.dumps(options)) + framed(form))
        answer: dict[str, Any] = orjson.loads(message)
        if "error" in answer:
            raise InvalidInput(answer.pop("error"), **answer)
        return answer

    async def _answer(self, message: bytes) -> bytes:
        try:
            async with asyncio.timeout(self.time_limit_s):
                for _ in range(2):  # one that was idle may end while we write
                    answer = await self._exchange(message)
                    if answer is not None:
                        return answer
        except TimeoutError as error:
            await self.close()
            raise InvalidInput(f"The form could not be converted within {self.time_limit_s:g} seconds") from error
        except BaseException:
            await self.close()  # half a message may be on its way
            raise
        raise InvalidInput("The form could not be converted: what converts it did not survive it")

    async def _exchange(self, message: bytes) -> bytes | None:
        """The answer; None when the process ended before there was one."""
        process = await self._running()
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(message)
            await process.stdin.drain()
            length = int.from_bytes(await process.stdout.readexactly(4), "big")
            if length > LARGEST_ANSWER_BYTES:
                raise InvalidInput("The form is too large to be converted")
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


def framed(data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + data
