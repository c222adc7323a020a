"""An SMS gateway against a whole deployment: register a patient, get the reply, report what became of it."""

from __future__ import annotations

import asyncio
import secrets
from typing import Any

import httpx
import pytest

from outpost import district
from tests.conftest import eventually
from tests.outpost.conftest import Deployment

PHONE = "+254711000101"


@pytest.fixture(scope="module")
def gateway(deployment: Deployment) -> tuple[str, str]:
    """Login of a gateway account; settings and contacts of the sample district are loaded."""
    return asyncio.run(load(deployment))


async def load(deployment: Deployment) -> tuple[str, str]:
    name = f"gateway-{deployment.database[-4:]}"
    async with deployment.http() as http:
        assert (await http.put("/api/v1/settings", json=district.SETTINGS)).status_code == 200
        await http.post(f"/{deployment.database}/_bulk_docs", json={"docs": district.contacts(1_700_000_000_000)})
        account = {"username": name, "password": "Blue-kite-77", "roles": ["gateway"]}
        answer = await http.post("/api/v1/users", json=account)
        assert answer.status_code == 200, answer.text
    return name, "Blue-kite-77"


async def exchange(
    http: httpx.AsyncClient, messages: list[dict[str, Any]] | None = None, updates: list[dict[str, Any]] | None = None
) -> list[dict[str, Any]]:
    answer = await http.post("/api/sms", json={"messages": messages or [], "updates": updates or []})
    assert answer.status_code == 200, answer.text
    outgoing: list[dict[str, Any]] = answer.json()["messages"]
    return outgoing


def registration(name: str) -> dict[str, Any]:
    return {"id": f"sms-{secrets.token_hex(4)}", "from": PHONE, "content": f"P {name}"}


async def reply_about(http: httpx.AsyncClient, name: str) -> dict[str, Any]:
    """Poll as a gateway does until the reply that names the patient is handed out."""

    async def handed_out() -> dict[str, Any] | None:
        return next((message for message in await exchange(http) if name in message["content"]), None)

    reply: dict[str, Any] = await eventually(handed_out, 30)
    return reply


async def reports_about(deployment: Deployment, name: str) -> list[dict[str, Any]]:
    async with deployment.http() as http:
        answer = await http.get(f"/{deployment.database}/_all_docs", params={"include_docs": "true"})
    docs = [row["doc"] for row in answer.json()["rows"]]
    return [doc for doc in docs if doc.get("form") == "P" and doc["fields"].get("patient_name") == name]


async def test_a_registration_by_sms_hands_out_the_reply_with_the_new_short_id(
    deployment: Deployment, gateway: tuple[str, str]
) -> None:
    async with deployment.http(gateway) as http:
        await exchange(http, [registration("Amina Reply")])

        reply = await reply_about(http, "Amina Reply")

    [report] = await reports_about(deployment, "Amina Reply")
    assert reply["to"] == PHONE
    assert report["patient_id"] in reply["content"]
    async with deployment.http() as http:
        rows = await http.get(
            f"/{deployment.database}/_design/medic-client/_view/contacts_by_reference",
            params={"key": f'["shortcode","{report["patient_id"]}"]', "include_docs": "true"},
        )
    [row] = rows.json()["rows"]
    assert row["doc"]["name"] == "Amina Reply"
    assert row["doc"]["parent"]["_id"] == "demo-health-center-1"


async def test_status_updates_take_the_task_through_sent_and_delivered(
    deployment: Deployment, gateway: tuple[str, str]
) -> None:
    """SMS-12, TSK-1."""
    async with deployment.http(gateway) as http:
        await exchange(http, [registration("Bena Status")])
        reply = await reply_about(http, "Bena Status")
        for status in ("UNSENT", "PENDING", "SENT", "DELIVERED"):
            await exchange(http, updates=[{"id": reply["id"], "status": status}])
        again = await exchange(http)

    [report] = await reports_about(deployment, "Bena Status")
    [task] = [task for task in report["tasks"] if task["messages"][0]["uuid"] == reply["id"]]
    assert task["state"] == "delivered"
    assert [entry["state"] for entry in task["state_history"]] == [
        "pending",
        "forwarded-to-gateway",
        "received-by-gateway",
        "forwarded-by-gateway",
        "sent",
        "delivered",
    ]
    assert reply["id"] not in [message["id"] for message in again]


async def test_posting_the_same_message_twice_changes_nothing(deployment: Deployment, gateway: tuple[str, str]) -> None:
    """SMS-18, also when both posts come at once."""
    message = registration("Chausiku Twice")
    async with deployment.http(gateway) as http:
        await asyncio.gather(exchange(http, [message]), exchange(http, [message, message]))
        await reply_about(http, "Chausiku Twice")
        [before] = await reports_about(deployment, "Chausiku Twice")
        await exchange(http, [message])

    [after] = await reports_about(deployment, "Chausiku Twice")
    assert after["_id"] == before["_id"]
    assert after["patient_id"] == before["patient_id"]
    assert [task["messages"][0]["uuid"] for task in after["tasks"]] == [
        task["messages"][0]["uuid"] for task in before["tasks"]
    ]


async def test_a_scheduled_message_stands_in_the_report(deployment: Deployment, gateway: tuple[str, str]) -> None:
    """SCH-6: the follow-up of the sample district, one week later."""
    async with deployment.http(gateway) as http:
        await exchange(http, [registration("Dafina Later")])
        await reply_about(http, "Dafina Later")

    [report] = await reports_about(deployment, "Dafina Later")
    [task] = report["scheduled_tasks"]
    assert task["state"] == "scheduled"
    assert task["type"] == "Follow-up"


async def test_an_unknown_sender_is_stored_and_answered(deployment: Deployment, gateway: tuple[str, str]) -> None:
    message = {"id": f"sms-{secrets.token_hex(4)}", "from": "+254711999999", "content": "Where is the clinic?"}
    async with deployment.http(gateway) as http:
        await exchange(http, [message])

        async def answered() -> bool:
            return any(each["to"] == "+254711999999" for each in await exchange(http))

        assert await eventually(answered, 30)
