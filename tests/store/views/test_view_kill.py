"""An index whose process is killed at any moment is right when it is next read."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import IO

from store.javascript import JavaScriptPool
from store.views import Views
from tests.store.views.view_documents import Documents, ddoc, ids, query

SPREAD = "function (doc) { for (var n = 0; n < doc.n % 4; n++) { emit([doc.n, n], doc.n); } }"
DESIGN = ddoc(v=(SPREAD, "_sum"))
FOLDER = Path(__file__).parent
STEPS = 40

# Replays the same changes each time and queries after each step, so a later run meets an index that stopped anywhere.
CHILD = """
import asyncio, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from test_view_kill import DESIGN, STEPS, change
from tests.store.views.view_documents import Documents, query
from store.javascript import JavaScriptPool
from store.views import Views

class Told(Documents):
    def winners_since(self, seq, limit):
        found = super().winners_since(seq, limit)
        print("read", seq, flush=True)
        return found

async def main():
    documents, pool = Told(), JavaScriptPool(1)
    views = Views(documents, Path(sys.argv[2]), pool)
    for step in range(STEPS):
        change(documents, step)
        if step >= int(sys.argv[3]):
            await query(views, DESIGN)
            print("step", step, flush=True)

asyncio.run(main())
"""


def change(documents: Documents, step: int) -> None:
    """Step after step the same documents: some new, some changed, some deleted."""
    rng = random.Random(step)
    for _ in range(60):
        number = rng.randrange(1500)
        if rng.random() < 0.2:
            documents.delete(f"d{number}")
        else:
            documents.put(f"d{number}", n=rng.randrange(50))


def run_and_kill(folder: Path, from_step: int, moment: Callable[[IO[bytes]], object]) -> None:
    arguments = [sys.executable, "-c", CHILD, str(FOLDER), str(folder), str(from_step)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, cwd=FOLDER.parents[2]) as child:
        assert child.stdout is not None
        moment(child.stdout)
        child.kill()


def after(count: int, word: bytes) -> Callable[[IO[bytes]], None]:
    """The moment when the child has said a word that many times."""

    def wait(lines: IO[bytes]) -> None:
        left = count
        while left:
            line = lines.readline()
            assert line, "the child ended by itself"
            left -= line.startswith(word)

    return wait


async def assert_right(tmp_path: Path, pool: JavaScriptPool) -> None:
    documents = Documents()
    for step in range(STEPS):
        change(documents, step)
    killed = Views(documents, tmp_path / "killed", pool)
    fresh = Views(documents, tmp_path / "fresh", pool)

    assert await ids(killed, DESIGN, reduce=False) == await ids(fresh, DESIGN, reduce=False)
    assert await query(killed, DESIGN) == await query(fresh, DESIGN)
    assert await query(killed, DESIGN, group_level=1) == await query(fresh, DESIGN, group_level=1)
    await killed.close()
    await fresh.close()


async def test_an_index_killed_between_updates_resumes(tmp_path: Path, pool: JavaScriptPool) -> None:
    for from_step in (0, 12, 24):
        run_and_kill(tmp_path / "killed", from_step, after(3, b"step"))

    await assert_right(tmp_path, pool)


async def test_an_index_killed_while_it_is_first_built_is_built_again(tmp_path: Path, pool: JavaScriptPool) -> None:
    for batches in (1, 3):
        run_and_kill(tmp_path / "killed", STEPS - 1, after(batches, b"read"))

    await assert_right(tmp_path, pool)
