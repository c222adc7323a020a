"""`outpost demo`: load the sample district into a running server over its own API, and say what to try next."""

from __future__ import annotations

import base64
import sys
import time
from pathlib import Path
from typing import Any

import httpx

from core.config import Config
from outpost import district

FORM = Path(__file__).parent.parent / "forms" / "home_visit.xml"


class DemoFailed(Exception):
    """One sentence on which step the server refused, and why."""


async def load_demo(url: str, config: Config) -> int:
    """Load settings, contacts, forms, accounts and three SMS, each only if it is not there yet. The exit code."""
    admin = httpx.BasicAuth(*config.couch_admin)
    gateway = httpx.BasicAuth("gateway", district.PASSWORD)
    try:
        async with httpx.AsyncClient(base_url=url, headers={"Accept": "application/json"}, timeout=60) as http:
            await load_settings(http, admin)
            contacts = await load_docs(http, admin, config.database)
            users = [user["username"] for user in district.USERS if await load_user(http, admin, user)]
            replies = await exchange_sms(http, gateway)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        print(
            f"outpost: no Outpost answers at {url} ({error or type(error).__name__}); start it first", file=sys.stderr
        )
        return 2
    except DemoFailed as error:
        print(f"outpost: {error}", file=sys.stderr)
        return 2
    print(report(url, config, contacts, users, replies))
    return 0


async def load_settings(http: httpx.AsyncClient, admin: httpx.Auth) -> None:
    answer = await http.put("/api/v1/settings", params={"replace": "true"}, json=district.SETTINGS, auth=admin)
    check(answer, "storing the settings")


async def load_docs(http: httpx.AsyncClient, admin: httpx.Auth, database: str) -> int:
    """Store contacts and the form in one request; the number of those that were not there before."""
    form = {
        **district.HOME_VISIT,
        "_attachments": {
            "xml": {"content_type": "application/xml", "data": base64.b64encode(FORM.read_bytes()).decode()}
        },
    }
    docs = [*district.contacts(int(time.time() * 1000)), form]
    answer = await http.post(f"/{database}/_bulk_docs", json={"docs": docs}, auth=admin)
    rows = check(answer, "storing the contacts")
    refused = [row for row in rows if row.get("error") not in (None, "conflict")]
    if refused:
        raise DemoFailed(f"storing {refused[0]['id']} failed: {refused[0].get('reason')}")
    return sum("error" not in row for row in rows)


async def load_user(http: httpx.AsyncClient, admin: httpx.Auth, user: dict[str, Any]) -> bool:
    """Create an account; False when it exists."""
    answer = await http.post("/api/v1/users", json=user, auth=admin)
    if answer.status_code == 409:
        return False
    check(answer, f"creating the user {user['username']}")
    return True


async def exchange_sms(http: httpx.AsyncClient, gateway: httpx.Auth) -> list[dict[str, Any]]:
    """Post the messages as a gateway does; the replies it would send now."""
    answer = await http.post("/api/sms", json={"messages": list(district.MESSAGES)}, auth=gateway)
    messages: list[dict[str, Any]] = check(answer, "posting the SMS")["messages"]
    return messages


def check(answer: httpx.Response, step: str) -> Any:
    if answer.is_success:
        return answer.json()
    try:
        body = answer.json()
        reason = body.get("error") or body.get("reason") if isinstance(body, dict) else body
    except ValueError:
        reason = answer.text[:200]
    raise DemoFailed(f"{step} failed with {answer.status_code}: {reason}")


def report(url: str, config: Config, contacts: int, users: list[str], replies: list[dict[str, Any]]) -> str:
    """What was loaded, the replies that wait, and commands to try next."""
    password = district.PASSWORD
    base = url.rstrip("/")
    db = f"{base}/{config.database}"
    loaded = f"{contacts} documents" if contacts else "the documents were there already"
    accounts = ", ".join(users) if users else "the accounts were there already"
    sms = f"""{{"id":"sms-{int(time.time())}","from":"{district.CHW_PHONE}","content":"P Grace Akinyi"}}"""
    waiting = "\n".join(f"  to {reply['to']}: {reply['content']}" for reply in replies)
    return f"""
Sample district: {loaded}; users: {accounts}. Their password is {password}: for trying only.

Replies waiting for the SMS gateway:
{waiting or "  none"}

Try next:

  # What the server says of itself
  curl {base}/api/v1/monitoring

  # The documents on the phone of asha, a health worker: her part of the district
  curl -u asha:{password} {base}/api/v1/replication/get-ids

  # A document of another branch is refused
  curl -u asha:{password} {db}/demo-clinic-4

  # Register a patient by SMS, as a gateway posts it, and get the reply to send
  curl -u gateway:{password} -H 'Content-Type: application/json' {base}/api/sms \\
    -d '{{"messages":[{sms}]}}'

  # What the supervisor sees
  curl -u sue:{password} '{db}/_all_docs?include_docs=true'

  # In a browser
  {db}/login
"""
