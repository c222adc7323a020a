"""Every process killed with SIGKILL in turn, under a syncing phone and SMS traffic: nothing lost, nothing twice."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from outpost import district
from tests.conftest import eventually
from tests.outpost.conftest import Deployment
from tests.outpost.phone import Phone, needs_node

pytestmark = [needs_node, pytest.mark.node, pytest.mark.timeout(300)]

PASSWORD = "Blue-kite-77"
CENTER = "demo-health-center-1"
LINEAGE = {"_id": CENTER, "parent": {"_id": district.DISTRICT}}


@dataclass
class Traffic:
    """What a gateway and an importing program have been promised by the server."""

    deployment: Deployment
    gateway: tuple[str, str]
    done: asyncio.Event = field(default_factory=asyncio.Event)
    accepted_sms: list[str] = field(default_factory=list)
    accepted_docs: list[str] = field(default_factory=list)
    handed_out: dict[str, dict[str, Any]] = field(default_factory=dict)

    async def send_sms(self) -> None:
        """One registration at a time, repeated under the same id until the server accepts it; polls in between."""
        number = 0
        async with self.deployment.http(self.gateway) as http:
            while not self.done.is_set():
                name = f"Patient {number:04}"
                message = {"id": f"fault-{number}", "from": "+254711000101", "content": f"P {name}"}
                if await self.exchange(http, [message]):
                    self.accepted_sms.append(name)
                    number += 1

    async def exchange(self, http: httpx.AsyncClient, messages: list[dict[str, Any]]) -> bool:
        updates = [{"id": each, "status": "SENT"} for each in list(self.handed_out)[-20:]]
        with suppress(httpx.HTTPError):
            answer = await http.post("/api/sms", json={"messages": messages, "updates": updates})
            if answer.status_code == 200:
                self.handed_out |= {each["id"]: each for each in answer.json()["messages"]}
                return True
        await asyncio.sleep(0.05)
        return False

    async def write_people(self) -> None:
        number = 0
        async with self.deployment.http() as http:
            while not self.done.is_set():
                docs = [self.person(f"import-{number}-{each}") for each in range(10)]
                with suppress(httpx.HTTPError):
                    answer = await http.post(f"/{self.deployment.database}/_bulk_docs", json={"docs": docs})
                    if answer.status_code == 201:
                        self.accepted_docs += [row["id"] for row in answer.json() if row.get("ok")]
                number += 1
                await asyncio.sleep(0.05)

    @staticmethod
    def person(doc_id: str) -> dict[str, Any]:
        return {"_id": doc_id, "type": "person", "name": doc_id, "parent": LINEAGE, "reported_date": 1_700_000_000_000}


async def load(deployment: Deployment) -> tuple[tuple[str, str], str]:
    gateway, phone = f"gateway-{deployment.database[-4:]}", f"asha-{deployment.database[-4:]}"
    async with deployment.http() as http:
        assert (await http.put("/api/v1/settings", json=district.SETTINGS)).status_code == 200
        await http.post(f"/{deployment.database}/_bulk_docs", json={"docs": district.contacts(1_700_000_000_000)})
        for account in (
            {"username": gateway, "password": PASSWORD, "roles": ["gateway"]},
            {"username": phone, "password": PASSWORD, "roles": ["chw"], "place": CENTER, "contact": "demo-chw-1"},
        ):
            answer = await http.post("/api/v1/users", json=account)
            assert answer.status_code == 200, answer.text
    return (gateway, PASSWORD), phone


async def all_docs(deployment: Deployment) -> dict[str, dict[str, Any]]:
    async with deployment.http() as http:
        answer = await http.get(f"/{deployment.database}/_all_docs", params={"include_docs": "true"})
    return {row["id"]: row["doc"] for row in answer.json()["rows"]}


async def test_kill_9_of_every_process_loses_nothing_and_repeats_nothing(deployment: Deployment) -> None:
    gateway, user = await load(deployment)
    traffic = Traffic(deployment, gateway)
    async with Phone(deployment.db_url, user, PASSWORD) as phone:
        assert (await phone.do("pull"))["ok"]
        await phone.do("live")
        senders = [asyncio.create_task(traffic.send_sms()), asyncio.create_task(traffic.write_people())]
        written: list[str] = []
        for name in ("worker[0]", "sentinel", "index", *(["store"] if deployment.pids("store") else []), "worker[1]"):
            await more(traffic)
            await phone.do("put", doc={**traffic.person(f"phone-{len(written)}")})
            written.append(f"phone-{len(written)}")
            await deployment.kill(name)
            await more(traffic)
        traffic.done.set()
        await asyncio.gather(*senders)

        async def settled() -> bool:
            docs = await all_docs(deployment)
            people = [docs.get(each) for each in [*traffic.accepted_docs, *written]]
            return all(person and person.get("patient_id") for person in people)

        await eventually(settled, 60)  # an accepted write is there, and sentinel has skipped no change
        docs = await all_docs(deployment)
        mine = {
            doc_id for doc_id, doc in docs.items() if doc.get("type") == "person" and CENTER in str(doc.get("parent"))
        }

        # A PouchDB whose feed breaks off while batches wait forgets these and goes on behind them, in the same sync.
        await phone.do("stop")
        await phone.do("pull", anew=True)
        assert mine <= await phone.ids()

    async with deployment.http(gateway) as http:

        async def queue_is_empty() -> bool:
            before = len(traffic.handed_out)
            assert await traffic.exchange(http, [])
            return len(traffic.handed_out) == before

        await eventually(queue_is_empty, 30)

    docs = await all_docs(deployment)
    reports = Counter(doc["fields"]["patient_name"] for doc in docs.values() if doc.get("form") == "P")
    patients = Counter(doc["name"] for doc in docs.values() if str(doc.get("name", "")).startswith("Patient "))
    replies = Counter(message["content"] for message in traffic.handed_out.values())
    assert set(traffic.accepted_sms) <= set(reports)
    assert {name: count for name, count in reports.items() if count != 1} == {}
    assert {name: count for name, count in patients.items() if count != 1} == {}
    assert {text: count for text, count in replies.items() if count != 1} == {}
    for name in traffic.accepted_sms:
        assert sum(name in text for text in replies) == 1, name


async def more(traffic: Traffic, count: int = 5) -> None:
    """Wait until the server has accepted some more of both kinds."""
    sms, docs = len(traffic.accepted_sms) + count, len(traffic.accepted_docs) + 10 * count

    async def accepted() -> bool:
        return len(traffic.accepted_sms) >= sms and len(traffic.accepted_docs) >= docs

    await eventually(accepted, 60)
