"""A process that the supervisor keeps running, where the system does not start it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from outpost.children import Child, run_to_its_end
from tests.conftest import eventually

TOO_LONG = {"OUTPOST_NOTE": "x" * 2**20}  # the system starts nothing with such an environment


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    own = {name: value for name, value in os.environ.items() if not name.startswith(("COUCH_", "OUTPOST_"))}
    couch_url = "http://admin:secret@127.0.0.1:9/medic"
    return own | {"COUCH_URL": couch_url, "OUTPOST_DATA": str(tmp_path), "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}


async def test_what_cannot_be_started_is_tried_again(env: dict[str, str], caplog: pytest.LogCaptureFixture) -> None:
    child = Child("index", "index", env | TOO_LONG)
    child.begin()

    async def refused() -> bool:
        return "cannot be started" in caplog.text

    assert await eventually(refused)
    child.env = env
    await child.until_ready()
    running = child.running
    child.env = env | TOO_LONG

    assert not await child.replace()
    assert running is not None
    assert child.running is running  # it goes on
    assert not await run_to_its_end("prepare", child.env)
    running.process.kill()

    async def gone() -> bool:
        return child.running is None

    assert await eventually(gone)
    child.env = env
    await child.until_ready()
    await child.stop(10)
    for task in child.tasks:
        await task
