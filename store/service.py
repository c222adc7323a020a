"""What every request handler needs: the databases, the accounts and the engines of one running store."""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import logging
import secrets
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TextIO

import orjson

from store import reads
from store.accounts import Accounts, load_secret
from store.compaction import compact
from store.config import StoreConfig
from store.cors import Cors
from store.db_updates import DatabaseUpdates
from store.javascript import JavaScriptPool
from store.metrics import Metrics
from store.node_config import NodeConfig, start_sections
from store.passwords import admin_value
from store.registry import Databases
from store.user_docs import PREFIX

log = logging.getLogger(__name__)

_READING_THREADS = 4
_PASSWORD_THREADS = 2  # of their own: a morning of logins must not hold up the reads


class Store:
    """One data folder, opened."""

    def __init__(self, config: StoreConfig) -> None:
        config.data.mkdir(parents=True, exist_ok=True)
        self._folder_lock = _lock(config.data)
        self.config = config
        self.node = f"couchdb@{config.host}"  # how this server calls itself among CouchDB's nodes
        self.executor = ThreadPoolExecutor(_READING_THREADS, thread_name_prefix="read")
        self.password_executor = ThreadPoolExecutor(_PASSWORD_THREADS, thread_name_prefix="password")
        self.stopping = False
        self._tasks: set[asyncio.Task[None]] = set()
        self.javascript = JavaScriptPool(config.javascript_engines)
        self.databases = Databases(config.data, self.executor, self.javascript, most_open=config.most_open_databases)
        self.databases.wants_compaction = lambda name: self.spawn(compact(self.databases, name))
        secret = load_secret(config.data / "cookie-secret")
        self.uuid = hashlib.sha256(b"uuid " + secret).hexdigest()[:32]
        self.accounts = Accounts(
            config.admins, self._user_doc, secret, config.cookie_timeout_s, self.password_executor, config.now
        )
        self.metrics = Metrics()
        self.updates = DatabaseUpdates(secrets.token_hex(6), self.databases.names())
        self.databases.told = self.updates.note
        self.node_config = NodeConfig(config.data / "config.json", start_sections(config, self.uuid))
        self.cors: Cors | None = None
        self.apply_config()

    def apply_config(self) -> None:
        """Let the sections act; called after each change of them."""
        config = self.node_config
        self.accounts.cookie_timeout_s = config.seconds("chttpd_auth", "timeout", self.config.cookie_timeout_s)
        self.accounts.iterations = config.seconds("chttpd_auth", "iterations", self.config.pbkdf2_iterations)
        self.cors = Cors.from_config(config)
        self.javascript.set_reduce_limit(config.get("query_server_config", "reduce_limit") or "true")

    async def open(self) -> None:
        """Make the databases every CouchDB has."""
        for name in ("_replicator", "_users"):
            if name not in self.databases:
                await self.databases.create(name)

    def stop_feeds(self) -> None:
        """End every held `_changes` answer as its timeout would."""
        self.stopping = True
        self.databases.wake()
        self.updates.wake()

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run background work that ends with the store."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            log.error("background work failed", exc_info=error)

    async def close(self) -> None:
        """Finish what was accepted and close every file."""
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.databases.close()
        self.javascript.close()
        self.executor.shutdown()
        self.password_executor.shutdown()
        self._folder_lock.close()

    async def _user_doc(self, name: str) -> dict[str, Any] | None:
        """The account of a name: an administrator that was made over HTTP, or a user document."""
        if (admin := self.node_config.admin(name)) is not None:
            return {"name": name, "roles": ["_admin"], **(admin_value(admin) or {})}
        if "_users" not in self.databases:
            return None
        async with self.databases.use("_users") as users:
            found = reads.plain_winner(users.conn, f"{PREFIX}{name}")
        if found is None:
            return None
        doc: dict[str, Any] = orjson.loads(found[1])
        return doc


def _lock(folder: Path) -> TextIO:
    """Hold a data folder for this process, until the file is closed or the process ends in any way."""
    held = (folder / "lock").open("w")
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        held.close()
        raise OSError(f"The data folder {folder} is in use by another store.") from None
    return held
