"""What this machine must offer before anything starts: a data folder of our own, free ports, a password."""

from __future__ import annotations

import fcntl
import os
import secrets
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

from core.config import Config

PASSWORD_FILE = "admin-password"
BACKLOG = 1024  # connections of one API process that wait to be accepted


class CannotStart(Exception):
    """One clear sentence on why the command cannot go on; the exit code is 2."""


def prepare_folder(data: Path) -> None:
    """Create the data folder, readable by its owner only. CannotStart when it cannot be written."""
    try:
        data.mkdir(parents=True, exist_ok=True, mode=0o700)
        probe = data / f".probe-{os.getpid()}"
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        raise CannotStart(f"the data folder {data.absolute()} cannot be written: {error.strerror}") from error


def lock_folder(data: Path) -> IO[bytes]:
    """Hold the data folder for this process; CannotStart when another Outpost runs on it."""
    handle = open(data / "lock", "ab")  # noqa: SIM115  held open for as long as the process lives
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        handle.close()
        raise CannotStart(f"another Outpost is already running on the data folder {data.absolute()}") from error
    return handle


def with_password(config: Config, *, create: bool = True) -> Config:
    """The configuration against this machine's embedded store, with its administrator's password.

    The password comes from OUTPOST_ADMIN, else from the data folder, where it is made once, readable by the owner only.
    """
    if config.couch_url:
        return config
    if config.admin_password:
        return config.with_store(config.admin_password)
    path = config.data / PASSWORD_FILE
    if not path.exists():
        if not create:
            raise CannotStart("COUCH_URL is not set, and there is no embedded store in the data folder: set COUCH_URL")
        prepare_folder(config.data)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w") as file:
            file.write(secrets.token_urlsafe(12) + "\n")
    return config.with_store(path.read_text().strip())


def free_port(host: str, port: int, purpose: str) -> int:
    """That port, or one the system chooses for 0. CannotStart when something listens on it already."""
    with bind(host, port, purpose) as probe:
        return int(probe.getsockname()[1])


@contextmanager
def listening(host: str, port: int, workers: int) -> Iterator[list[socket.socket]]:
    """A socket for each API process, all listening on the same port, which stay while the processes come and go.

    The system spreads connections over them, and keeps those that nobody accepts at the moment.
    """
    number = free_port(host, port, "the API")
    with ExitStack() as stack:
        sockets = [stack.enter_context(bind(host, number, "the API", shared=True)) for _ in range(workers)]
        for each in sockets:
            each.listen(BACKLOG)
        yield sockets


def bind(host: str, port: int, purpose: str, *, shared: bool = False) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    handle = socket.socket(family, socket.SOCK_STREAM)
    handle.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if shared:
        handle.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        handle.bind((host, port))
    except (OSError, OverflowError) as error:
        handle.close()
        flag = "--store-port" if purpose == "the embedded store" else "--port"
        reason = getattr(error, "strerror", None) or str(error)
        raise CannotStart(
            f"port {port} on {host}, for {purpose}, cannot be used: {reason}; choose another with {flag}"
        ) from error
    return handle
