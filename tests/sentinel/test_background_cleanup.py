"""What stood beside a deleted document is removed (40 JOB-BGC-1)."""

from __future__ import annotations

from core.couch.client import Couch
from sentinel.schedule.background_cleanup import clean_up
from tests.sentinel.conftest import Deployment


async def test_infodocs_and_read_marks_of_deleted_documents_go(couch: Couch, deployment: Deployment) -> None:
    meta = couch.db(f"{deployment.db.name}-user-bea-meta")
    await meta.create()
    await meta.bulk_docs([{"_id": f"read:report:{doc_id}"} for doc_id in ("r1", "r2")])
    await deployment.store({"_id": "r1", "type": "other"}, {"_id": "r2", "type": "other"}, {"_id": "r1-info"})
    await deployment.process()
    await deployment.db.delete("r1", (await deployment.db.get("r1"))["_rev"])
    await clean_up(couch, deployment.db.name)

    assert await deployment.sentinel_db.find("r1-info") is None
    assert await deployment.db.find("r1-info") is None
    assert await meta.find("read:report:r1") is None  # MOD-70
    assert await meta.find("read:report:r2") is not None
    assert await deployment.sentinel_db.find("r2-info") is not None


async def test_second_run_has_nothing_to_do(couch: Couch, deployment: Deployment) -> None:
    await deployment.store({"_id": "r1", "type": "other"})
    await deployment.db.delete("r1", (await deployment.db.get("r1"))["_rev"])
    await clean_up(couch, deployment.db.name)

    assert await clean_up(couch, deployment.db.name) == 0
