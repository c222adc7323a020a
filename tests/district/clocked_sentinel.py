"""The real worker as a process of its own, by the clock of a simulation: COUCH_URL and the clock's file are given."""

from __future__ import annotations

import asyncio
import logging
import sys
from pathlib import Path

from core.config import Config
from sentinel.worker import run_worker
from tests.district.clock import SharedClock

DUE_INTERVAL_S = 0.1
LEASE_TTL_S = 5.0


def main(couch_url: str, clock_file: str) -> None:
    logging.basicConfig(level=logging.ERROR, format="%(asctime)s %(process)d %(name)s %(message)s")
    config = Config().with_couch_url(couch_url)
    clock = SharedClock(Path(clock_file))
    asyncio.run(run_worker(config, asyncio.Event(), now=clock, due_interval_s=DUE_INTERVAL_S, lease_ttl_s=LEASE_TTL_S))


if __name__ == "__main__":
    main(*sys.argv[1:])
