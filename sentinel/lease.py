"""One active worker per deployment: a lease with an owner and an expiry, kept in the sentinel database (40 SEN-1)."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import socket
import time
from collections.abc import Callable

from core.couch.client import Database, Doc
from core.errors import Conflict, DomainError, NotFound
from sentinel.holder import Holder
from sentinel.transitions.change import LeaseLost

log = logging.getLogger(__name__)

# A whole document, not a local one: CouchDB detects conflicts only for these.
LEASE_ID = "lease:sentinel"
TTL_S = 10.0

# Seconds that only grow, those in which the machine slept among them, where the system counts them.
CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def seconds() -> float:
    return time.clock_gettime(CLOCK)


def owner_name() -> str:
    """A name that no other process has, and that tells people where to look."""
    return f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"


class Lease:
    """The right to process, held while it is renewed in time.

    Who waits for it takes it when the holder let it stand still for as long as it lasts: each measures that by a
    `clock` of its own that nobody sets, since those of two machines may differ by more. `expires` is for people.
    """

    def __init__(
        self,
        sentinel_db: Database,
        owner: str | None = None,
        *,
        ttl_s: float = TTL_S,
        clock: Callable[[], float] = seconds,
    ) -> None:
        self.db = sentinel_db
        self.owner = owner or owner_name()
        self.ttl_s = ttl_s
        self.clock = clock
        self.process = Holder.this_process()
        # The process that kept us from taking the lease, as far as it is known.
        self.holder: Holder | None = None
        self._rev: str | None = None
        self._expires_s = 0.0
        self._seen: tuple[str, float] | None = None  # what another's lease was when we looked last, since when

    @property
    def held(self) -> bool:
        return self.clock() < self._expires_s

    def check(self) -> None:
        """Raises LeaseLost unless the lease is held at this moment."""
        if not self.held:
            raise LeaseLost(f"{self.owner} does not hold the lease")

    async def acquire(self) -> bool:
        """Take the lease if it is free, ours, or has run out, or if its holder's process is gone; False otherwise.

        To see that it has run out takes two looks.
        """
        doc = await self.db.find(LEASE_ID)
        if doc is not None and doc.get("owner") != self.owner and not self._stood_still(doc["_rev"]):
            self.holder = Holder.from_doc(doc)
            if self.holder is None or not self.holder.is_dead():
                return False
            log.warning("%s is gone without giving the lease back", doc.get("owner"))
        self._rev = doc["_rev"] if doc is not None else None
        return await self._write()

    def _stood_still(self, rev: str) -> bool:
        if self._seen is None or self._seen[0] != rev:
            self._seen = (rev, self.clock())
        return self.clock() - self._seen[1] >= self.ttl_s

    async def renew(self) -> None:
        """Extend the lease. Raises LeaseLost when another worker took it."""
        if await self._write():
            return
        # Our own last write may have been stored though its answer got lost.
        doc = await self.db.find(LEASE_ID)
        if doc is not None and doc.get("owner") == self.owner:
            self._rev = doc["_rev"]
            if await self._write():
                return
        self._expires_s = 0.0
        raise LeaseLost(f"another worker took the lease of {self.owner}")

    async def keep(self) -> None:
        """Renew for ever, in time; raises LeaseLost. An outage is waited out as long as the lease lasts."""
        while True:
            await asyncio.sleep(self.ttl_s / 4)
            try:
                await self.renew()
            except DomainError as error:
                log.warning("the lease could not be renewed: %s", error.message)
                self.check()

    async def release(self) -> None:
        """Let the next worker start at once."""
        self._expires_s = 0.0
        rev, self._rev = self._rev, None
        if rev is None:
            return
        try:
            await self.db.delete(LEASE_ID, rev)
        except NotFound:
            log.info("the lease was given back already")
        except Conflict:
            # Being stopped in the middle of a renewal leaves us without its rev.
            doc = await self.db.find(LEASE_ID)
            if doc is not None and doc.get("owner") == self.owner:
                await self.db.delete(LEASE_ID, doc["_rev"])
            else:
                log.info("the lease had another owner already")

    async def _write(self) -> bool:
        """The expiry counts from before the request, so that we never believe longer than what is stored."""
        expires_s = self.clock() + self.ttl_s
        expires_ms = int((time.time() + self.ttl_s) * 1000)
        doc: Doc = {"_id": LEASE_ID, "type": "lease", "owner": self.owner, "expires": expires_ms}
        doc |= self.process.to_doc()
        try:
            self._rev = await self.db.put(doc if self._rev is None else {**doc, "_rev": self._rev})
        except Conflict:
            return False
        self._expires_s = expires_s
        return True


def expiry_s(doc: Doc) -> float:
    expires = doc.get("expires")
    return expires / 1000 if isinstance(expires, int | float) else 0.0
