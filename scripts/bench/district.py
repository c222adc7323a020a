"""Whether a district's messages survive a bad month: sentinels that are killed, a gateway that loses and repeats.

    .venv/bin/python scripts/bench/district.py                      # on an embedded store
    COUCH_URL=http://admin:secret@127.0.0.1:5984 .venv/bin/python scripts/bench/district.py    # on CouchDB

The same month is lived through twice: with two sentinels of which one after the other is killed, and undisturbed. Exits
1 when anything happened twice, got lost, or shows in the documents.
"""

# ruff: noqa: E402

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import secrets
import sys
import tempfile
from pathlib import Path

# Started by its path, this file would be found in place of the package of the same name.
sys.path[0] = str(Path(__file__).parents[2])

from core.config import Config
from scripts.bench.sentinel import embedded_store
from tests.district.simulation import Plan, both_worlds
from tests.district.verdict import faults

MOST_LINES = 40


async def live_through(plan: Plan, server_url: str) -> int:
    config = Config().with_couch_url(f"{server_url}/district-{secrets.token_hex(4)}")
    with tempfile.TemporaryDirectory() as folder:
        disturbed, quiet = await both_worlds(plan, config, Path(folder))
    found = faults(disturbed, quiet)
    print(
        f"{plan.workers} health workers, {plan.days} days: {len(quiet.docs)} documents, {len(quiet.messages)} messages"
        f" sent; undisturbed {quiet.took_s:.0f} s; with {disturbed.killed} sentinels killed and {disturbed.losses}"
        f" answers of the API lost {disturbed.took_s:.0f} s; {len(found)} faults"
    )
    for line in found[:MOST_LINES]:
        print(line)
    return 1 if found else 0


async def main(plan: Plan) -> int:
    if couch_url := os.environ.get("COUCH_URL"):
        return await live_through(plan, couch_url.rstrip("/"))
    async with embedded_store() as server_url:
        return await live_through(plan, server_url)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=200, help="health workers (default: 200)")
    parser.add_argument("--days", type=int, default=30, help="days of three moments each (default: 30)")
    parser.add_argument("--kills", type=int, default=20, help="sentinels killed (default: 20)")
    parser.add_argument("--activity", type=float, default=0.2, help="reports per worker and moment (default: 0.2)")
    parser.add_argument("--seed", type=int, default=1, help="another number is another month (default: 1)")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.ERROR)
    sys.exit(asyncio.run(main(Plan(**vars(arguments)))))
