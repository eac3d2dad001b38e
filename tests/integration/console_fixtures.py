"""A console on a small site, and somebody who uses it as a browser or a program does."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import numpy as np
from argon2 import PasswordHasher
from starlette.testclient import TestClient

from gaitkeeper_client.console import users
from gaitkeeper_client.console.app import create_app
from gaitkeeper_client.console.context import Console
from gaitkeeper_client.console.settings import ConsoleSettings
from gaitkeeper_client.vault.home import SiteHome, create_home
from gaitkeeper_client.vault.keys import create_key
from gaitkeeper_shared.recording import JointTrajectories, Recording, Signals
from gaitkeeper_shared.skeleton import JOINTS
from gaitkeeper_shared.trust.audit import AuditLog

PASSWORD = "four words make one"
ADDRESS = "http://127.0.0.1:8470"
PEOPLE = {"anna": ("clinician",), "ivo": ("it",), "otto": ("auditor",)}
OCTETS = {"content-type": "application/offset+octet-stream"}


@dataclass
class Time:
    """A clock that the test turns."""

    now: datetime = datetime(2026, 5, 4, 9, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def pass_(self, **span: float) -> None:
        self.now += timedelta(**span)


def make_console(folder: Path, time: Time | None = None, **settings: object) -> Console:
    """A site with one person of each role. Passwords are hashed with little effort: argon2 is slow on purpose."""
    users._hasher = lambda: PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)
    home = SiteHome(folder)
    key = create_key(home)
    create_home(home, "clinic-test", "file")
    console = Console.of(home, key, ConsoleSettings(**settings), time or Time())  # type: ignore[arg-type]
    for name, roles in PEOPLE.items():
        console.users.add(name, PASSWORD, roles)  # type: ignore[arg-type]
    return console


def browser(console: Console) -> TestClient:
    """A browser that nobody signed in with."""
    return TestClient(create_app(console), base_url=ADDRESS, follow_redirects=False)


def tie_of(client: TestClient, headers: Mapping[str, str] | None = None) -> str:
    return re.findall(r'name="tie" value="([^"]+)"', client.get("/sign-in", headers=headers).text)[0]


def try_sign_in(
    client: TestClient, name: str, password: str = PASSWORD, headers: Mapping[str, str] | None = None
) -> httpx.Response:
    sent = {"tie": tie_of(client, headers), "name": name, "password": password}
    return client.post("/sign-in", data=sent, headers=headers)


def signed_in(console: Console, name: str) -> TestClient:
    """A browser in which somebody is signed in; no password is checked for it."""
    client = browser(console)
    user = next(user for user in console.users.all() if user.name == name)
    client.cookies.set("gaitkeeper", console.sessions.begin(user).token)
    return client


def csrf_of(client: TestClient) -> str:
    """The token of the session, as a page's script reads it."""
    page = client.get("/", follow_redirects=True)
    return re.findall(r'name="csrf" content="([^"]+)"', page.text)[0]


def bearer(console: Console, *scopes: str) -> dict[str, str]:
    """Headers of a program."""
    return {"authorization": f"Bearer {console.api_keys.add('camera', scopes)}"}  # type: ignore[arg-type]


def upload(client: TestClient, data: bytes, headers: dict[str, str], name: str = "walk.bvh", **said: object) -> str:
    """Hand a file in, whole; the job's id."""
    asked = {"patient": "patient-1", "file_name": name, "size": len(data), **said}
    answer = client.post("/api/v1/uploads", json=asked, headers=headers)
    assert answer.status_code == 201, answer.text
    job = str(answer.json()["id"])
    sent = client.patch(f"/api/v1/uploads/{job}", content=data, headers={**headers, **OCTETS, "upload-offset": "0"})
    assert sent.status_code == 204, sent.text
    return job


def events(console: Console) -> list[tuple[str, dict[str, object]]]:
    """What the audit log holds."""
    return [(entry.event, dict(entry.facts)) for entry in AuditLog(console.home.audit_log).entries()]


def small_recording() -> Recording:
    """The smallest thing that a vault keeps."""
    time_s = np.arange(30) / 30.0
    tracks = JointTrajectories(time_s, np.ones((30, len(JOINTS), 2)), "m", np.ones((30, len(JOINTS))))
    return Recording(tracks, (), Signals(time_s, ("trunk_lean",), np.ones((30, 1), dtype=np.float32)))
