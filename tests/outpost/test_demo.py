"""`outpost demo` against a running deployment; each command it prints is run as a newcomer would paste it."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import orjson
import pytest

from tests.outpost.conftest import Deployment


def run_demo(deployment: Deployment) -> subprocess.CompletedProcess[str]:
    login = ":".join(deployment.admin)
    env = {**deployment.env, "OUTPOST_ADMIN": login, "OUTPOST_DATABASE": deployment.database}
    command = [sys.executable, "-m", "outpost", "demo", "--url", deployment.url]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=60)


@pytest.fixture(scope="module")
def demo(deployment: Deployment) -> str:
    result = run_demo(deployment)
    assert result.returncode == 0, result.stderr
    return result.stdout


def commands(demo: str) -> list[str]:
    joined = re.sub(r"\\\n\s*", "", demo)
    return [line.strip() for line in joined.splitlines() if line.strip().startswith("curl ")]


def test_it_says_what_it_loaded(demo: str) -> None:
    assert "50 documents; users: asha, sue, gateway" in demo
    assert "Mary Atieno has the ID" in demo


def test_each_printed_command_works(demo: str) -> None:
    answers = []
    for command in commands(demo):
        result = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=30, env=os.environ)
        assert result.returncode == 0, command
        answers.append(orjson.loads(result.stdout))

    monitoring, listed, refused, exchanged, supervised = answers
    ids = {row["id"] for row in listed["doc_ids_revs"]}
    assert monitoring["couchdb"]["medic"]["doc_count"] > 0
    assert "demo-clinic-1" in ids
    assert "demo-clinic-4" not in ids
    assert refused == {"error": "forbidden", "reason": "Insufficient privileges"}
    assert any("Grace Akinyi has the ID" in message["content"] for message in exchanged["messages"])
    assert {"demo-clinic-1", "demo-clinic-4"} <= {row["id"] for row in supervised["rows"]}


def test_loading_it_again_changes_nothing(demo: str, deployment: Deployment) -> None:
    result = run_demo(deployment)

    assert result.returncode == 0
    assert "the documents were there already" in result.stdout
    assert "the accounts were there already" in result.stdout


def test_without_a_server_it_is_one_sentence(deployment: Deployment) -> None:
    command = [sys.executable, "-m", "outpost", "demo", "--url", "http://127.0.0.1:9"]
    env = {**deployment.env, "OUTPOST_ADMIN": "a:b"}
    result = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60)

    assert result.returncode == 2
    assert len(result.stderr.strip().splitlines()) == 1
