"""Drive a real PouchDB in Node as a health worker's phone."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import Any, Self

import orjson
import pytest

CLIENTS = Path(__file__).parent.parent / "clients"

needs_node = pytest.mark.skipif(
    shutil.which("node") is None or not (CLIENTS / "node_modules" / "pouchdb").exists(),
    reason="Node or the PouchDB client is not installed here (scripts/test installs it where npm is present)",
)


class Phone:
    """`async with Phone(url, name, password) as phone`: one process of `tests/clients/phone.js`."""

    def __init__(self, url: str, name: str, password: str) -> None:
        self.arguments = (url, name, password)

    async def __aenter__(self) -> Self:
        self.process = await asyncio.create_subprocess_exec(
            "node",
            str(CLIENTS / "phone.js"),
            *self.arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=64 * 1024 * 1024,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        try:
            await asyncio.wait_for(self.process.wait(), 30)
        except TimeoutError:
            self.process.kill()
            await self.process.wait()

    async def do(self, command: str, **arguments: Any) -> dict[str, Any]:
        """Run one command of the phone and return its answer."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(orjson.dumps({"command": command, **arguments}) + b"\n")
        await self.process.stdin.drain()
        line = await asyncio.wait_for(self.process.stdout.readline(), 60)
        assert line, "the phone's process ended"
        answer: dict[str, Any] = orjson.loads(line)
        return answer

    async def ids(self) -> set[str]:
        return set((await self.do("ids"))["ids"])
