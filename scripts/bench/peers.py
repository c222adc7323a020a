"""Starts the embedded store and its peers for a measurement, each on a free port in a folder of its own."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from http_load import Target, wait_until_ready

ROOT = Path(__file__).resolve().parent.parent.parent
POUCHDB_SERVER = "pouchdb-server@4.2.0"
_CACHE = ROOT / ".cache" / "bench" / "pouchdb-server"


def free_port() -> int:
    """A port nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start_store(data: Path, port: int) -> subprocess.Popen[bytes]:
    """`outpost store`, as a user runs it; the caller stops it."""
    arguments = ["--data", str(data), "--store-port", str(port), "--admin", "admin:secret", "--log-level", "warning"]
    env = {name: value for name, value in os.environ.items() if name not in ("COUCH_URL", "OUTPOST_SUPERVISED")}
    return subprocess.Popen([sys.executable, "-m", "outpost", "store", *arguments], cwd=ROOT, env=env)


@asynccontextmanager
async def running_store(data: Path) -> AsyncIterator[tuple[Target, int]]:
    """A store that answers, and its process id."""
    target = Target("outpost store", "127.0.0.1", free_port())
    process = start_store(data, target.port)
    try:
        await wait_until_ready(target)
        yield target, process.pid
    finally:
        process.terminate()
        process.wait()


@asynccontextmanager
async def running_pouchdb_server(data: Path) -> AsyncIterator[Target | None]:
    """pouchdb-server on LevelDB, installed at the first use; None, with a sentence, where that cannot be done."""
    program = _CACHE / "node_modules" / ".bin" / "pouchdb-server"
    if not program.exists() and not _install():
        yield None
        return
    target = Target("pouchdb-server", "127.0.0.1", free_port())
    process = _start_pouchdb_server(program, data, target)
    try:
        await wait_until_ready(target)
        yield target
    finally:
        process.terminate()
        process.wait()


def _start_pouchdb_server(program: Path, data: Path, target: Target) -> subprocess.Popen[bytes]:
    data.mkdir(parents=True)
    settings = {"admins": {target.user: target.password}, "log": {"level": "error"}}
    (data / "config.json").write_text(json.dumps(settings))
    options = ["--port", str(target.port), "--dir", str(data), "--config", str(data / "config.json")]
    return subprocess.Popen(
        [program, *options, "--no-stdout-logs"], cwd=data, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


def _install() -> bool:
    npm = shutil.which("npm")
    if npm is None:
        print("pouchdb-server is left out: npm is not installed.")
        return False
    print(f"Installing {POUCHDB_SERVER} into {_CACHE.relative_to(ROOT)} (some minutes, once) ...", flush=True)
    _CACHE.mkdir(parents=True, exist_ok=True)
    command = [npm, "install", "--no-audit", "--no-fund", "--prefix", str(_CACHE), POUCHDB_SERVER]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        print(f"pouchdb-server is left out: npm could not install it. {done.stderr.strip()[-300:]}")
    return done.returncode == 0
