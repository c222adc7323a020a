"""Which endpoint asks for what: the matrix of 10 §5.3, for anonymous, offline and online callers (PERM-12)."""

from __future__ import annotations

from typing import Any

import pytest
from aiohttp.test_utils import TestClient

from core.couch.client import Database
from core.settings import DEFAULT_PERMISSIONS

Client = TestClient[Any, Any]
JSON = {"Accept": "application/json"}
ROLES = {
    "online_holder": {"name": "a"},
    "online_other": {"name": "b"},
    "offline_holder": {"name": "c", "offline": True},
    "offline_other": {"name": "d", "offline": True},
}
# Statuses for: nobody, online with the permissions, online without, offline with, offline without.
# 0 is whatever comes after the door: an answer, or what is wrong with the rest of the request.
PUBLIC = (0, 0, 0, 0, 0)
ACCOUNT = (401, 0, 0, 0, 0)
PERMITTED = (401, 0, 403, 0, 403)
ONLINE = (401, 0, 0, 403, 403)
ONLINE_PERMITTED = (401, 0, 403, 403, 403)
ADMIN = (401, 403, 403, 403, 403)
PHONES = (401, 404, 404, 0, 0)
SHARED_KEY = (403, 403, 403, 403, 403)

TABLE: list[tuple[str, str, tuple[int, int, int, int, int]]] = [
    ("GET", "/api/v1/settings", ACCOUNT),
    ("PUT", "/api/v1/settings", PERMITTED),
    ("GET", "/api/v2/export/reports", ONLINE_PERMITTED),
    ("POST", "/api/v2/export/contacts", ONLINE_PERMITTED),
    ("GET", "/api/v2/export/messages", ONLINE_PERMITTED),
    ("GET", "/api/v2/export/feedback", ONLINE_PERMITTED),
    ("GET", "/api/v2/export/dhis", ONLINE_PERMITTED),
    ("GET", "/api/v2/export/user-devices", ONLINE_PERMITTED),
    ("GET", "/api/v1/forms", ACCOUNT),
    ("GET", "/api/v1/forms/none.xml", ACCOUNT),
    ("POST", "/api/v1/forms/validate", PERMITTED),
    ("POST", "/api/v1/records", PERMITTED),
    ("POST", "/api/v2/records", PERMITTED),
    ("GET", "/api/sms", PERMITTED),
    ("POST", "/api/sms", PERMITTED),
    ("POST", "/api/v1/sms/africastalking/incoming-messages", SHARED_KEY),
    ("POST", "/api/v1/sms/africastalking/delivery-reports", SHARED_KEY),
    ("POST", "/api/v1/people", PERMITTED),  # DIV-23
    ("POST", "/api/v1/places", PERMITTED),  # DIV-23
    ("POST", "/api/v1/places/none", PERMITTED),
    ("GET", "/api/v1/person/none", ONLINE_PERMITTED),
    ("GET", "/api/v1/place/none", ONLINE_PERMITTED),
    ("GET", "/api/v1/contact/none", ONLINE_PERMITTED),
    ("GET", "/api/v1/report/none", ONLINE_PERMITTED),
    ("POST", "/api/v1/person", ONLINE_PERMITTED),
    ("POST", "/api/v1/place", ONLINE_PERMITTED),
    ("PUT", "/api/v1/person/none", ONLINE_PERMITTED),
    ("PUT", "/api/v1/place/none", ONLINE_PERMITTED),
    ("POST", "/api/v1/report", ONLINE_PERMITTED),
    ("PUT", "/api/v1/report/none", ONLINE_PERMITTED),
    ("GET", "/api/v1/target?contact_uuids=x&reporting_period=2024-01", ONLINE),
    ("GET", "/api/v1/impact", ONLINE),
    ("GET", "/api/v1/users", PERMITTED),
    ("GET", "/api/v2/users", PERMITTED),
    ("GET", "/api/v2/users/none", PERMITTED),
    ("GET", "/api/v2/users/{self}", ACCOUNT),
    ("POST", "/api/v1/users", PERMITTED),
    ("POST", "/api/v2/users", PERMITTED),
    ("POST", "/api/v3/users", PERMITTED),
    ("POST", "/api/v1/users/none", PERMITTED),
    ("POST", "/api/v1/users/{self}", ACCOUNT),
    ("DELETE", "/api/v1/users/none", PERMITTED),
    ("GET", "/api/v1/users-info?facility_id=x&role=chw", (401, 0, 403, 0, 0)),
    ("POST", "/api/v1/bulk-delete", ONLINE_PERMITTED),
    ("POST", "/api/v1/hydrate", ONLINE),
    ("POST", "/api/v1/contacts-by-phone", ONLINE),
    ("POST", "/api/v1/upgrade", PERMITTED),
    ("POST", "/api/v1/upgrade/stage", PERMITTED),
    ("POST", "/api/v1/upgrade/complete", PERMITTED),
    ("POST", "/api/v2/upgrade", PERMITTED),
    ("POST", "/api/v2/upgrade/stage", PERMITTED),
    ("POST", "/api/v2/upgrade/complete", PERMITTED),
    ("GET", "/api/v2/upgrade", PERMITTED),
    ("DELETE", "/api/v2/upgrade", PERMITTED),
    ("GET", "/api/v2/upgrade/can-upgrade", PERMITTED),
    ("GET", "/api/v2/upgrade/builds", PERMITTED),
    ("POST", "/api/v2/upgrade/compare", PERMITTED),
    ("GET", "/api/v1/monitoring", PUBLIC),
    ("GET", "/api/v2/monitoring", PUBLIC),
    ("GET", "/api/v1/express-metrics", PUBLIC),
    ("GET", "/api/v1/startup-progress", PUBLIC),
    ("GET", "/api/info", PUBLIC),
    ("GET", "/api/deploy-info", ACCOUNT),
    ("GET", "/api/couch-config-attachments", (401, 401, 401, 401, 401)),
    ("PUT", "/api/v1/credentials/key", ADMIN),
    ("POST", "/api/v1/archive", ADMIN),
    ("GET", "/api/v1/users-doc-count", ADMIN),
    ("GET", "/api/v1/replication-failure-logs", ADMIN),
    ("GET", "/api/v1/replication-health/failed", ADMIN),
    ("GET", "/api/v1/replication/get-ids", PHONES),
    ("POST", "/api/v1/replication/get-deletes", PHONES),
    ("GET", "/purging", PHONES),
    ("GET", "/purging/changes", PHONES),
    ("PUT", "/{db}-user-{self}-meta/", ACCOUNT),
    ("PUT", "/{db}-user-other-meta/", (401, 403, 403, 403, 403)),
    ("GET", "/api/v1/nothing", (401, 404, 404, 403, 403)),  # AUTH-11, AUTH-133
]


@pytest.mark.parametrize("place", range(5), ids=["nobody", *ROLES])
async def test_every_endpoint_asks_for_what_the_matrix_says(
    client: Client, db: Database, make_user: Any, place: int
) -> None:
    holders = ["online_holder", "offline_holder"]
    permissions = {name: [*roles, *holders] for name, roles in DEFAULT_PERMISSIONS.items()}
    assert (await client.put("/api/v1/settings", json={"roles": ROLES, "permissions": permissions})).status == 200
    roles = list(ROLES)[place - 1 :][:1] if place else []
    caller: Any = {"Authorization": ""}
    if roles:
        caller = await make_user("caller", roles=roles, facility_id="hc", contact_id="p")
    name = getattr(caller, "name", "x")
    refused = {}
    for method, path, statuses in TABLE:
        answer = await client.request(
            method,
            path.format(db=db.name, self=name),
            headers={**caller, **JSON, "Content-Type": "application/json"},
            data=None if method in ("GET", "DELETE") else b"{}",
        )
        await answer.read()
        wanted = statuses[place]
        if answer.status != wanted and (wanted or answer.status in (401, 403)):
            refused[f"{method} {path}"] = (answer.status, wanted)

    assert refused == {}
