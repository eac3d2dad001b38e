"""Signing in at the console through an identity provider of somebody else, as a browser does it."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import httpx

from gaitkeeper_client.console.context import Console
from gaitkeeper_client.console.settings import ConsoleSettings
from gaitkeeper_client.vault.home import SiteHome, create_home, write_table
from gaitkeeper_client.vault.keys import create_key
from gaitkeeper_shared.ports import free_port

START_S = 90.0
SECRET = "a secret of the client, for a test"


def play(folder: Path, serving: Callable[..., AbstractContextManager[None]]) -> Iterator[str]:
    """What came of it, line by line. An ``AssertionError`` says where the way ended."""
    for secret, claim, user in (("", "preferred_username", "nora"), (SECRET, "email", "nora@clinic.example")):
        yield from _sign_in(folder / claim, serving, secret, claim, user)


def _sign_in(
    folder: Path, serving: Callable[..., AbstractContextManager[None]], secret: str, claim: str, user: str
) -> Iterator[str]:
    home, port, provider = SiteHome(folder / "site"), free_port(), free_port()
    folder.mkdir()
    key = create_key(home)
    create_home(home, "clinic-test", "file")
    console = Console.of(home, key, ConsoleSettings(port=port))
    console.users.add(user, None, ("auditor",))
    address = f"http://127.0.0.1:{port}"
    table = {"issuer": f"http://127.0.0.1:{provider}", "client_id": "gaitkeeper", "console": address, "claim": claim}
    if secret:
        (folder / "secret").write_text(secret)
        table["secret_file"] = str(folder / "secret")
    write_table(home, "oidc", table)
    back = f"{address}/sign-in/oidc/back"
    command = [sys.executable, "-m", "gaitkeeper_shared.cli", "site", "console", "--home", str(home.path)]
    with serving(str(provider), back, secret), (folder / "log").open("wb") as log:
        process = subprocess.Popen([*command, "--port", str(port)], stdout=log, stderr=log)
        try:
            _wait(address)
            told = _through(address, "nora")
            assert "/audit" in told, "nora is not signed in"
            yield f"signed nora in by {claim}, {'with' if secret else 'without'} a client's secret"
            assert "/audit" not in _through(address, "stranger"), "a stranger is signed in"
            yield "a stranger whom the provider knows and this console does not gets nothing"
        finally:
            process.terminate()
            process.wait(20.0)


def _wait(address: str) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        try:
            if httpx.get(f"{address}/sign-in").status_code == 200:
                return
        except httpx.HTTPError:
            time.sleep(0.2)
    raise AssertionError("the console does not start")


def _through(address: str, name: str) -> str:
    """The page on which a browser ends that signs in as this person, forms of the provider filled in."""
    with httpx.Client(follow_redirects=True, timeout=30.0) as browser:
        page = browser.get(f"{address}/sign-in/oidc")
        for _ in range(4):
            form = re.search(r'<form[^>]*action="([^"]*/interaction/[^"]*)"', page.text)
            if form is None:
                break
            fields = dict(re.findall(r'<input type="hidden" name="(\w+)" value="(\w*)"', page.text))
            page = browser.post(form[1], data={**fields, "login": name, "password": "any"})
        return browser.get(f"{address}/").text
