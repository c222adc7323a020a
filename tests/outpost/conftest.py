"""A whole deployment in processes of its own, as `outpost serve` makes it."""

from __future__ import annotations

import os
import re
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import eventually, free_port


class Deployment:
    """`outpost serve` on ports and a data folder of its own; on `couch_url` when that names a server."""

    def __init__(self, data: Path, couch_url: str | None = None) -> None:
        self.data = data
        self.port, self.store_port = free_port(), free_port()
        self.database = f"medic-{secrets.token_hex(4)}"
        self.env = {name: value for name, value in os.environ.items() if not name.startswith(("COUCH_", "OUTPOST_"))}
        if couch_url:
            self.env["COUCH_URL"] = f"{couch_url}/{self.database}"
            login = re.match(r"https?://([^:]+):([^@]+)@", couch_url)
            assert login
            self.admin = (login[1], login[2])
        else:
            self.env |= {"OUTPOST_ADMIN": "admin:secret", "OUTPOST_DATABASE": self.database}
            self.admin = ("admin", "secret")
        self.url = f"http://127.0.0.1:{self.port}"
        self.db_url = f"{self.url}/{self.database}"
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> str:
        return (self.data / "log").read_text(errors="replace")

    @property
    def starts(self) -> int:
        """How often the supervisor has said that every process answers."""
        return self.log.count("Outpost is ready.")

    def start(self) -> None:
        self.data.mkdir(parents=True, exist_ok=True)
        with open(self.data / "log", "ab") as log:
            starts = self.starts
            self.process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "outpost", "serve", "--workers", "2"),
                    *("--port", str(self.port), "--store-port", str(self.store_port)),
                    *("--data", str(self.data / "outpost")),
                ],
                env=self.env,
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + 60
        while self.starts == starts:  # one worker may answer before all do
            with suppress(subprocess.TimeoutExpired):
                pytest.fail(f"ended with {self.process.wait(0.05)}: {self.log}")
            assert time.monotonic() < deadline, self.log

    def stop(self) -> int:
        """SIGTERM, and the exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)

    def end(self) -> None:
        """Make sure that nothing is left running; its processes go with the supervisor."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def pids(self, name: str) -> list[int]:
        """The processes of that name that the supervisor has started, in order; the last ones live."""
        return [int(pid) for pid in re.findall(rf"[ \"]{re.escape(name)} runs as process (\d+)", self.log)]

    async def is_gone(self) -> bool:
        """Whether none of its processes lives any more, which end by themselves when their supervisor does."""
        pids = re.findall(r" runs as process (\d+)", self.log)
        return not any(os.path.exists(f"/proc/{pid}") for pid in pids)  # noqa: ASYNC240  no file of a disk

    async def kill(self, name: str) -> None:
        """SIGKILL the living process of that name and wait until the supervisor has started another."""
        before = self.pids(name)
        os.kill(before[-1], signal.SIGKILL)

        async def restarted() -> bool:
            return len(self.pids(name)) > len(before)

        await eventually(restarted, 30)

    def http(self, user: tuple[str, str] | None = None, **options: Any) -> httpx.AsyncClient:
        """A client as that user, or as the administrator."""
        return httpx.AsyncClient(base_url=self.url, auth=user or self.admin, timeout=30, **options)


@pytest.fixture(scope="module")
def deployment(
    couch_url: str, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Deployment]:
    """One deployment for the tests of a module: on its own embedded store, or on the CouchDB that COUCH_URL names."""
    embedded = couch_url == request.getfixturevalue("embedded_store")
    deployment = Deployment(tmp_path_factory.mktemp("deployment"), None if embedded else couch_url)
    try:
        deployment.start()
        yield deployment
        assert deployment.stop() == 0
    finally:
        deployment.end()
    if not embedded:
        remove(couch_url, deployment.database)


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Deployment]:
    """A deployment of the test's own, not started yet; whatever becomes of the test, nothing of it is left running."""
    deployment = Deployment(tmp_path)
    yield deployment
    deployment.end()


def remove(couch_url: str, database: str) -> None:
    """Delete what a deployment left on a CouchDB that outlives it: its accounts and its databases."""
    with httpx.Client(base_url=couch_url) as couch:
        accounts = {"startkey": '"org.couchdb.user:"', "endkey": '"org.couchdb.user:~"'}
        names = [row["id"] for row in couch.get(f"/{database}/_all_docs", params=accounts).json()["rows"]]
        rows = couch.post("/_users/_all_docs", json={"keys": names}).json()["rows"]
        docs = [{"_id": row["id"], "_rev": row["value"]["rev"], "_deleted": True} for row in rows if "error" not in row]
        couch.post("/_users/_bulk_docs", json={"docs": docs})
        for name in couch.get("/_all_dbs").json():
            if name == database or name.startswith(f"{database}-"):
                couch.delete(f"/{name}")
