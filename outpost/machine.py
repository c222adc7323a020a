"""What this machine must offer before anything starts: a data folder of our own, free ports, a password."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import secrets
import shutil
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

from core.config import Config

PASSWORD_FILE = "admin-password"
MEMORY = Path("/dev/shm")
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
    password = kept_password(path)
    if password is None:
        if not create:
            raise CannotStart(
                f"there is no embedded store in the data folder {config.data.absolute()}: "
                "name the one of `outpost serve` with --data, or set COUCH_URL"
            )
        prepare_folder(config.data)
        password = secrets.token_urlsafe(12)
        keep_password(path, password)
    return config.with_store(password)


def kept_password(path: Path) -> str | None:
    """None where there is none yet. CannotStart when it is not ours to read."""
    try:
        return path.read_text().strip() or None
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise CannotStart(f"the password in {path.absolute()} cannot be read: {reason}") from error


def keep_password(path: Path, password: str) -> None:
    """Whole or not at all, readable by the owner only. CannotStart when it cannot be written."""
    draft = path.with_suffix(".new")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(f"{password}\n")
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise CannotStart(f"{path.absolute()} cannot be written: {error.strerror}") from error


@contextmanager
def shared_metrics(config: Config) -> Iterator[Path]:
    """A new folder in which the API's processes share what they count, which goes with us. CannotStart.

    They write to mapped files, and the system kills who does that on a full disk: so it is in memory, where there is a
    place for that.
    """
    folder = config.data.absolute() / "metrics" / str(config.port)
    if os.access(MEMORY, os.W_OK):
        folder = MEMORY / f"outpost-{hashlib.sha256(bytes(folder)).hexdigest()[:16]}"
    shutil.rmtree(folder, ignore_errors=True)  # of a run that was killed
    try:
        folder.mkdir(parents=True, mode=0o700)
    except OSError as error:
        raise CannotStart(f"the folder {folder} cannot be made: {error.strerror}") from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


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
        if isinstance(error, socket.gaierror) or getattr(error, "errno", None) == errno.EADDRNOTAVAIL:
            flag = "--host"
        reason = getattr(error, "strerror", None) or str(error)
        raise CannotStart(
            f"port {port} on {host}, for {purpose}, cannot be used: {reason}; choose another with {flag}"
        ) from error
    return handle
