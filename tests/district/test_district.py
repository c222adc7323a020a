"""A district lives through a bad time: nothing is lost, nothing happens twice (40 SEN-1, SEN-12, SEN-14, TRN-10)."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.config import Config
from tests.district.simulation import Plan, both_worlds
from tests.district.verdict import faults

PLAN = Plan(workers=25, days=4, activity=0.5, kills=5)


@pytest.mark.slow
async def test_deaths_and_a_bad_line_leave_no_trace(config: Config, tmp_path: Path) -> None:
    disturbed, quiet = await both_worlds(PLAN, config, tmp_path)

    assert disturbed.killed == PLAN.kills
    assert disturbed.losses > 0
    assert not faults(disturbed, quiet)
    assert len(quiet.messages) > PLAN.workers
