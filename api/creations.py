"""Settle creations and changes that were cut off, at the start and from time to time (core/creations.py)."""

from __future__ import annotations

import asyncio

from api.bodies import now_ms
from core.couch.client import Database
from core.creations import settle_abandoned
from core.user_changes import complete_abandoned

INTERVAL_S = 30.0


async def settle_creations(db: Database, interval_s: float = INTERVAL_S) -> None:
    """For ever; by every worker, since they may settle the same at once."""
    while True:
        await settle_abandoned(db, now_ms())
        await complete_abandoned(db, now_ms())
        await asyncio.sleep(interval_s)
