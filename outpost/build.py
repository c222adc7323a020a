"""`outpost build`: make a build of the design documents here and put it where deployments look for builds."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from core.config import Config
from core.couch.ddocs import FOLDER
from core.upgrades.builds import make_build
from core.upgrades.sources import builds_at, open_builds
from outpost.machine import CannotStart


async def build(config: Config, targets: Sequence[str], *, folder: Path | None, version: str | None) -> int:
    """Make it, keep it at every target (BUILDS_URL when there is none), and print its version. DomainError."""
    ddocs = folder or FOLDER
    try:
        doc = make_build(ddocs, version=version, time=await asyncio.to_thread(commit_time, ddocs))
    except FileNotFoundError as error:
        raise CannotStart(f"the build is not complete: {error}") from None
    for builds in [builds_at(target) for target in targets] or [open_builds(config)]:
        await builds.add(doc)
        print(f"{doc['_id']} is at {builds.url}", file=sys.stderr)
    print(doc["build_info"]["version"])
    return 0


def commit_time(folder: Path) -> str | None:
    """When the folder last changed, as its repository knows it: the same in every checkout. None outside one."""
    command = ["git", "log", "-1", "--format=%ct", "--", "."]
    try:
        told = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=10, check=True
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
    if not told.strip().isdigit():
        return None
    return datetime.fromtimestamp(int(told), UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
