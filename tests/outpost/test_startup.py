"""What a server that is starting answers, until it serves (AUTH-19, AUTH-128, UPG-2)."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from tests.conftest import free_port

BROWSER = {"User-Agent": "Mozilla/5.0", "Accept": "text/html,application/xhtml+xml,*/*;q=0.8", "Accept-Language": "fr"}


@contextmanager
def running(log: Path, *arguments: str, **env: str) -> Iterator[None]:
    with log.open("ab") as output:
        command = [sys.executable, "-m", "outpost", *arguments]
        process = subprocess.Popen(command, env={**os.environ, **env}, stdout=output, stderr=output)
    try:
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def progress_of(client: httpx.Client, *, completed: bool) -> httpx.Response:
    """The progress, once it is answered and says so."""
    deadline = time.monotonic() + 60
    while True:
        try:
            answer = client.get("/api/v1/startup-progress")
            if answer.json()["completed"] is completed:
                return answer
        except httpx.TransportError:
            pass
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_who_asks_too_early_is_told_how_far_the_start_is(tmp_path: Path) -> None:
    port, store_port = free_port(), free_port()
    log, data = tmp_path / "log", str(tmp_path / "data")
    couch_url = f"http://admin:secret@127.0.0.1:{store_port}/medic"
    serve = ("serve", "--workers", "1", "--port", str(port), "--data", data)
    store = ("store", "--store-port", str(store_port), "--data", str(tmp_path), "--admin", "admin:secret")
    with (
        httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=10) as client,
        running(log, *serve, COUCH_URL=couch_url),
    ):
        early = progress_of(client, completed=False)
        page = client.get("/anything", headers=BROWSER)
        script = client.get("/login/startup.js")
        refused = [
            client.get("/api/v1/monitoring"),
            client.get("/medic/_changes", headers={"Accept": "application/json"}),
            client.post("/medic/login", headers=BROWSER, json={"user": "a", "password": "b"}),
        ]
        with running(log, *store):
            late = progress_of(client, completed=True)
            monitoring = client.get("/api/v1/monitoring")

    actions = early.json()["actions"]
    assert list(actions) == ["checks", "install", "index", "config", "migrate"]  # AUTH-128, UPG-2
    text = "Waiting for the database"
    assert actions["checks"] == {"translation": "startup.checks", "text": text, "display": True, "started": True}
    assert "started" not in actions["install"]
    assert (page.status_code, page.headers["Cache-Control"]) == (200, "no-store")
    assert 'lang="fr"' in page.text
    assert "En attente de la base de données" in page.text
    assert script.status_code == 200
    for answer in refused:  # AUTH-19
        assert (answer.status_code, answer.json()) == (503, {"error": "Service unavailable"})
        assert int(answer.headers["Retry-After"]) > 0
    assert all(action["completed"] for action in late.json()["actions"].values())
    assert monitoring.status_code == 200
