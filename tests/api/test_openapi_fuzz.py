"""Every described operation, called by schemathesis as three kinds of callers: no 500, and answers as described.

A few examples for each operation by default; OPENAPI_EXAMPLES=200 looks further.
"""

from __future__ import annotations

import http.client
import os
import re
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import Case, GenerationMode
from schemathesis.checks import CHECKS, load_all_checks

from api.app import create_app
from api.openapi import api_routes, document
from core.config import Config
from tests.conftest import basic, free_port, wait_for_http

EXAMPLES = int(os.environ.get("OPENAPI_EXAMPLES", "2"))

DOCUMENT = document(api_routes(create_app(Config(couch_url="http://admin:secret@127.0.0.1:1/medic"))))
SCHEMA = schemathesis.openapi.from_dict(DOCUMENT)
SCHEMA.config.generation.update(with_security_parameters=False)
load_all_checks()
CONFORMANCE = CHECKS.get_by_names(
    [
        "status_code_conformance",
        "content_type_conformance",
        "response_schema_conformance",
        "response_headers_conformance",
    ]
)
REJECTION = CHECKS.get_by_names(["negative_data_rejection"])
# Where a wrong body may be answered with 200: a list tells for each account whether it was made (EP-USR-31), and the
# query wins (EP-HYD-1, EP-CBP-1); where ids stand one a line, any text is one (EP-OTH-5).
TAKES_WRONG_BODIES = {
    "POST /api/v1/archive",
    *(f"POST /api/v{version}/users" for version in (1, 2, 3)),
    "POST /api/v1/hydrate",
    "POST /api/v1/contacts-by-phone",
}
# The settings are written last: whatever they become must not decide how the others are answered.
OPERATIONS = sorted(
    (found.ok() for found in SCHEMA.get_all_operations()),
    key=lambda operation: operation.label == "PUT /api/v1/settings",
)
CALLERS = ("admin", "online", "offline")

IN_CENTER = {"_id": "hc", "parent": {"_id": "d"}}
TARGET = "target~2024-03~chw~org.couchdb.user:asha"
DISTRICT = [
    {"_id": "d", "type": "district_hospital", "name": "Busia"},
    {"_id": "hc", "type": "health_center", "name": "Kanga", "parent": {"_id": "d"}},
    {"_id": "c", "type": "clinic", "name": "Odera", "parent": IN_CENTER},
    {
        "_id": "chw",
        "type": "person",
        "name": "Asha",
        "phone": "+254711000222",
        "parent": IN_CENTER,
    },
    {"_id": "form:visit", "type": "form", "internalId": "visit"},
    {
        "_id": "r",
        "type": "data_record",
        "form": "visit",
        "fields": {"patient_id": "c"},
        "reported_date": 1_700_000_000_000,
        "contact": {"_id": "chw", "parent": IN_CENTER},
    },
    {
        "_id": "target~2024-03~chw~org.couchdb.user:asha",
        "type": "target",
        "user": "org.couchdb.user:asha",
        "targets": [],
    },
]
KNOWN = {
    "id": ["d", "hc", "c", "chw", "r", TARGET, "settings", "_design/medic", "a/b"],
    "username": ["victim", "unknown"],
    "type": ["contacts", "dhis", "feedback", "messages", "reports", "user-devices"],
    "form": ["visit.xml", "V.json", ".xml", "visit"],
    "key": ["sms.example"],
    "rev": ["1-abc"],
}


@dataclass
class Running:
    url: str
    callers: dict[str, dict[str, str]]
    session: requests.Session

    def call(self, case: Case, caller: str, accept: str) -> Any:
        headers = {**self.callers[caller], "Accept": accept}
        return case.call(base_url=self.url, session=self.session, headers=headers, timeout=30, allow_redirects=False)

    def put_settings(self, values: dict[str, Any]) -> None:
        answer = self.session.put(f"{self.url}/api/v1/settings?overwrite", json=values, headers=self.callers["admin"])
        assert answer.status_code == 200, answer.text


@pytest.fixture(scope="module")
def running(embedded_store: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """`outpost api` in processes of its own, with a district and a login of each kind."""
    data, port, database = tmp_path_factory.mktemp("api"), free_port(), f"medic-{secrets.token_hex(5)}"
    env = {name: value for name, value in os.environ.items() if not name.startswith("OUTPOST_")}
    env |= {"COUCH_URL": f"{embedded_store}/{database}", "OUTPOST_LOG_LEVEL": "warning", "OUTPOST_WORKERS": "1"}
    command = [sys.executable, "-m", "outpost", "api", "--port", str(port), "--data", str(data)]
    with (data / "log").open("wb") as log:
        process = subprocess.Popen(command, env=env, stdout=log, stderr=log)
    try:
        url = f"http://127.0.0.1:{port}"
        wait_for_http(f"{url}/api/info", within_s=40)
        with requests.Session() as session:
            yield prepared(Running(url, {"admin": basic("admin", "secret")}, session), database)
        assert "unhandled error" not in (data / "log").read_text()
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def prepared(running: Running, database: str) -> Running:
    admin, session = running.callers["admin"], running.session
    session.post(f"{running.url}/{database}/_bulk_docs", json={"docs": DISTRICT}, headers=admin).raise_for_status()
    running.put_settings(first_settings(running))
    unique = database[-6:]
    accounts = {
        "online": {"roles": ["everything"]},
        "offline": {"roles": ["chw"], "place": "hc", "contact": "chw"},
        "victim": {"roles": ["nothing"]},
    }
    for name, members in accounts.items():
        user = {"username": f"{name}-{unique}", "password": "secret-12", **members}
        answer = session.post(f"{running.url}/api/v1/users", json=user, headers=admin)
        assert answer.status_code == 200, answer.text
        running.callers[name] = basic(user["username"], "secret-12")
    KNOWN["username"] = [f"victim-{unique}", "unknown"]
    return running


def first_settings(running: Running) -> dict[str, Any]:
    """Settings by which the online user holds every permission, and the offline one those that phones' users have."""
    stored = running.session.get(f"{running.url}/api/v1/settings", headers=running.callers["admin"]).json()
    roles = {
        **stored.get("roles", {}),
        "chw": {"name": "chw", "offline": True},
        "everything": {"name": "everything"},
        "nothing": {"name": "nothing"},
    }
    permissions = {name: [*holders, "everything"] for name, holders in stored["permissions"].items()}
    for name in ("can_create_records", "can_edit", "can_export_all", "can_update_users"):
        permissions[name] = [*permissions.get(name, []), "chw"]
    return {
        **stored,
        "roles": roles,
        "permissions": permissions,
        "forms": {"V": {"meta": {"code": "V"}, "fields": {"n": {"type": "integer", "labels": {"short": "n"}}}}},
    }


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.label)
@pytest.mark.parametrize("caller", CALLERS)
def test_answers_are_as_described(running: Running, operation: Any, caller: str) -> None:
    """Right and wrong requests alike; a status of 500 is an answer only where it is described (DIV-22)."""
    names = [parameter.name for parameter in operation.path_parameters]
    known = st.fixed_dictionaries({name: st.sampled_from([None, *KNOWN.get(name, [])]) for name in names})
    checks = CONFORMANCE + ([] if operation.label in TAKES_WRONG_BODIES else REJECTION)
    cases = st.one_of(operation.as_strategy(generation_mode=mode) for mode in GenerationMode)

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=EXAMPLES < 10,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=cases, values=known, accept=st.sampled_from(["application/json", "text/plain", "*/*"]))
    def check(case: Case, values: dict[str, str | None], accept: str) -> None:
        for name, value in values.items():
            if value is not None:
                case.path_parameters[name] = value
        response = running.call(case, caller, accept)
        case.validate_response(response, checks=checks)
        assert response.status_code < 500 or str(response.status_code) in operation.definition.raw["responses"]

    try:
        check()
    finally:
        if operation.label == "PUT /api/v1/settings" or "restore" in operation.path:
            running.put_settings(first_settings(running))


ODD_TEXTS = [
    "%00",
    "%FF%FE",
    "%ED%A0%80",
    "%F0%9F%92%A9",
    "%2F..%2F",
    "_all_docs",
    "9" * 400,
    "%5B" * 300,
    "%22",
    "a" * 3000,
]


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.label)
def test_odd_texts_in_paths_and_queries_are_answered_as_described(running: Running, operation: Any) -> None:
    described = operation.definition.raw["responses"]
    queries = ["&".join(f"{each.name}={text}" for each in operation.query) for text in ODD_TEXTS]
    answers = {}
    for text, query in zip(ODD_TEXTS, queries, strict=True):
        path = re.sub(r"{\w+}", text, operation.path)
        connection = http.client.HTTPConnection(running.url.removeprefix("http://"), timeout=30)
        body = b"{}" if operation.method in ("post", "put") else None
        headers = {**running.callers["admin"], "Content-Type": "application/json"}
        with closing(connection):
            connection.request(operation.method.upper(), f"{path}?{query}" if query else path, body, headers)
            response = connection.getresponse()
            answers[text[:20]] = (response.status, response.read()[:200])

    beside = ("414", "404") if "{" in operation.path else ("414",)
    assert {text: answer for text, answer in answers.items() if str(answer[0]) not in {*described, *beside}} == {}


ODD_BODIES = {
    "not UTF-8": b'{"name": "\xff\xfe"}',
    "NUL": b'{"name": "a\\u0000b", "_id": "a\\u0000b", "type": "person", "parent": "\\u0000", "ids": ["\\u0000"]}',
    "lone surrogate": b'{"name": "\\ud800", "ids": ["\\ud800"], "doc_ids": ["\\ud800"], "docs": [{"_id": "\\ud800"}]}',
    "deep": b"[" * 100_000,
    "deep and whole": b'{"a":' * 900 + b"1" + b"}" * 900,
    "deep but complete": b'{"name": "x", "type": "person", "parent": "c", "contact": "chw", "form": "visit", "fields": '
    + b'{"a":' * 240
    + b"1"
    + b"}" * 241,
    "huge numbers": b'{"reported_date": 1e308, "limit": 123456789012345678901234567890, "doc_ids": [1e999]}',
    "reserved ids": b'{"_id": "_design/x", "ids": ["_design/x", "_local/y", ""], "docs": [{"_id": "_local/y"}]}',
    "an array": b"[[], {}, null]",
    "a number": b"0",
    "null": b"null",
    "nothing": b"",
    "a byte order mark": b'\xef\xbb\xbf{"name": "x"}',
    "wrong types": b'{"name": {}, "type": [], "parent": 1, "contact": true, "place": [[]], "roles": {}, "fields": []}',
}
WRITES = [operation for operation in OPERATIONS if operation.method in ("post", "put")]


@pytest.mark.parametrize("operation", WRITES, ids=lambda operation: operation.label)
def test_odd_bodies_are_refused_or_taken_as_described(running: Running, operation: Any) -> None:
    described = operation.definition.raw["responses"]
    media = next(iter(operation.definition.raw.get("requestBody", {}).get("content", {"application/json": {}})))
    path = operation.path
    for name, values in KNOWN.items():
        path = path.replace(f"{{{name}}}", values[0])
    answers = {
        name: running.session.request(
            operation.method,
            f"{running.url}{path}",
            data=body,
            headers={**running.callers["admin"], "Content-Type": media},
            timeout=30,
        )
        for name, body in ODD_BODIES.items()
    }

    assert {
        name: (answer.status_code, answer.text[:200])
        for name, answer in answers.items()
        if str(answer.status_code) not in described
    } == {}
