"""Views of a database of its own for each test, on engines that all tests of a module share."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from store.javascript import JavaScriptPool
from store.views import Views
from tests.store.views.view_documents import Documents


@pytest.fixture(scope="module")
def pool() -> Iterator[JavaScriptPool]:
    pool = JavaScriptPool(2, time_limit_s=0.5)
    yield pool
    pool.close()


@pytest.fixture
def documents() -> Documents:
    return Documents()


@pytest.fixture
async def views(documents: Documents, tmp_path: Path, pool: JavaScriptPool) -> AsyncIterator[Views]:
    views = Views(documents, tmp_path / "views", pool)
    yield views
    documents.gate.set()
    await views.close()
