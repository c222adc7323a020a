"""A health worker's phone, a real PouchDB in Node, against a whole deployment."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.conftest import eventually
from tests.outpost.branch import belongs_to, district, report
from tests.outpost.conftest import Deployment
from tests.outpost.phone import Phone, needs_node

pytestmark = [needs_node, pytest.mark.node]

PASSWORD = "Blue-kite-77"
EVERYONE = {"settings", "messages-en", "_design/medic-client"}


@pytest.fixture(scope="module")
def user(deployment: Deployment) -> str:
    """The name of an offline user of health center 0, made by the users API; the district is loaded."""
    return asyncio.run(load(deployment))


async def load(deployment: Deployment) -> str:
    name = f"asha-{deployment.database[-4:]}"
    async with deployment.http() as http:
        answer = await http.post(f"/{deployment.database}/_bulk_docs", json={"docs": district()})
        assert all("error" not in row for row in answer.json())
        account = {"username": name, "password": PASSWORD, "roles": ["chw"], "place": "hc0", "contact": "chw0"}
        answer = await http.post("/api/v1/users", json=account)
        assert answer.status_code == 200, answer.text
    return name


@pytest.fixture
async def phone(deployment: Deployment, user: str) -> AsyncIterator[Phone]:
    async with Phone(deployment.db_url, user, PASSWORD) as phone:
        yield phone


def own_docs(user: str, ids: set[str]) -> set[str]:
    """The ids a phone holds less those that everyone has."""
    return {each for each in ids if each not in EVERYONE and each != f"org.couchdb.user:{user}"}


async def test_a_phone_pulls_exactly_its_subtree(phone: Phone, user: str) -> None:
    """REPL-50, REPL-54: set equality with a naive pass over 10 clinics and 1,000 reports."""
    pulled = await phone.do("pull")

    ids = await phone.ids()
    assert pulled.get("ok"), pulled
    assert own_docs(user, ids) == belongs_to("hc0", district())
    assert {"settings", f"org.couchdb.user:{user}"} <= ids


async def test_live_sync_brings_a_new_report_and_never_a_foreign_one(
    phone: Phone, user: str, deployment: Deployment
) -> None:
    await phone.do("pull")
    await phone.do("live")
    async with deployment.http() as http:
        await http.put(f"/{deployment.database}/live-foreign", json=report("live-foreign", 1))
        await http.put(f"/{deployment.database}/live-own", json=report("live-own", 2))

        async def arrived() -> bool:
            return "live-own" in await phone.ids()

        await eventually(arrived, 30)

        await http.put(f"/{deployment.database}/live-last", json=report("live-last", 4))

        async def last_arrived() -> bool:
            return "live-last" in await phone.ids()

        await eventually(last_arrived, 30)
    await phone.do("stop")

    assert "live-foreign" not in await phone.ids()


async def test_a_report_written_on_the_phone_reaches_the_server(phone: Phone, deployment: Deployment) -> None:
    await phone.do("put", doc=report("from-phone", 2))

    pushed = await phone.do("push")

    assert pushed["written"] == 1, pushed
    async with deployment.http() as http:
        answer = await http.get(f"/{deployment.database}/from-phone")
    assert answer.json()["fields"] == report("from-phone", 2)["fields"]


async def test_a_forged_write_to_another_branch_is_refused_for_that_document_alone(
    phone: Phone, deployment: Deployment
) -> None:
    """REPL-120."""
    await phone.do("put", doc=report("forged", 1))
    await phone.do("put", doc=report("honest", 2))

    pushed = await phone.do("push")

    assert pushed["refused"] == 1, pushed
    async with deployment.http() as http:
        assert (await http.get(f"/{deployment.database}/forged")).status_code == 404
        assert (await http.get(f"/{deployment.database}/honest")).status_code == 200


async def test_a_foreign_document_is_forbidden(deployment: Deployment, user: str) -> None:
    """REPL-104: denied and missing look the same."""
    async with deployment.http((user, PASSWORD)) as http:
        foreign = await http.get(f"/{deployment.database}/c1")
        missing = await http.get(f"/{deployment.database}/no-such-document")

    assert foreign.status_code == missing.status_code == 403
    assert foreign.json() == {"error": "forbidden", "reason": "Insufficient privileges"}


async def test_a_phone_of_protocol_n_is_given_the_same_list(deployment: Deployment, user: str, phone: Phone) -> None:
    """REPL-85, REPL-54."""
    await phone.do("pull")
    async with deployment.http((user, PASSWORD)) as http:
        answer = await http.get("/api/v1/replication/get-ids")

    listed = {row["id"] for row in answer.json()["doc_ids_revs"]}
    assert listed - {"_design/medic-client"} == await phone.ids() - {"_design/medic-client"}
