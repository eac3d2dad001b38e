"""Signing in through an identity provider that really answers on loopback, and what is not taken from it."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

import pytest
from console_fixtures import Time, browser, events, make_console
from joserfc import jwt
from joserfc.jwk import ECKey

from gaitkeeper_client.console.context import Console
from gaitkeeper_client.vault.home import read_table, write_table

KEY, OTHER = ECKey.generate_key("P-256", {"kid": "1"}), ECKey.generate_key("P-256", {"kid": "1"})


class Answering(BaseHTTPRequestHandler):
    """A provider that gives out the token that the test made."""

    token: ClassVar[str] = ""
    person: ClassVar[dict[str, Any]] = {}
    asked: ClassVar[dict[str, list[str]]] = {}

    def log_message(self, *_: object) -> None:
        """Quiet."""

    def _say(self, table: dict[str, Any]) -> None:
        body = json.dumps(table).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        own = f"http://127.0.0.1:{self.server.server_address[1]}"
        if self.path.endswith("openid-configuration"):
            names = {"authorization": "go", "token": "token", "userinfo": "person"}
            ends = {f"{name}_endpoint": f"{own}/{path}" for name, path in names.items()}
            self._say({"issuer": own, "jwks_uri": f"{own}/keys", **ends})
        elif self.path == "/person":
            assert self.headers["authorization"] == "Bearer the-access"
            self._say(Answering.person)
        else:
            self._say({"keys": [KEY.as_dict(private=False)]})

    def do_POST(self) -> None:
        Answering.asked = parse_qs(self.rfile.read(int(self.headers["content-length"])).decode())
        self._say({"id_token": Answering.token, "access_token": "the-access"})


@pytest.fixture(scope="module")
def console(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Console]:
    server = HTTPServer(("127.0.0.1", 0), Answering)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    made = make_console(tmp_path_factory.mktemp("oidc") / "site", Time())
    made.users.add("nora", None, ("auditor",))
    issuer = f"http://127.0.0.1:{server.server_address[1]}"
    write_table(made.home, "oidc", {"issuer": issuer, "client_id": "gk", "console": "http://127.0.0.1:8470"})
    yield made
    server.shutdown()
    server.server_close()


def _walk(
    console: Console, *, key: ECKey = KEY, state: str = "", back_iss: str = "", **claims: object
) -> tuple[int, str]:
    """From the sign-in page through the provider and back: the status, and the page that the browser ends on."""
    client = browser(console)
    assert "/sign-in/oidc" in client.get("/sign-in").text
    sent = client.get("/sign-in/oidc").headers["location"]
    asked = {name: values[0] for name, values in parse_qs(urlsplit(sent).query).items()}
    now, issuer = console.clock().timestamp(), sent.partition("/go?")[0]
    whole = {
        "iss": issuer,
        "sub": "s-nora",
        "aud": "gk",
        "nonce": asked["nonce"],
        "exp": now + 60,
        "iat": now,
        **claims,
    }
    Answering.token = jwt.encode({"alg": "ES256", "kid": "1"}, {"preferred_username": "Nora", **whole}, key)
    answer = {"state": state or asked["state"], "code": "the-code", "iss": back_iss or issuer}
    back = client.get("/sign-in/oidc/back", params=answer)
    assert asked["code_challenge_method"] == "S256"
    if back.status_code == 200:  # what is proven at the end is what was promised at the beginning (RFC 7636)
        digest = hashlib.sha256(Answering.asked["code_verifier"][0].encode()).digest()
        assert base64.urlsafe_b64encode(digest).rstrip(b"=").decode() == asked["code_challenge"]
    return back.status_code, client.get("/", follow_redirects=True).url.path


def test_somebody_whom_the_provider_vouches_for_is_signed_in(console: Console) -> None:
    assert _walk(console) == (200, "/site")
    assert Answering.asked["code"] == ["the-code"]
    assert len(Answering.asked["code_verifier"][0]) > 40
    assert ("console-signed-in", "oidc") in [(event, facts.get("through")) for event, facts in events(console)]
    client = browser(console)
    tie = client.get("/sign-in").text.partition('name="tie" value="')[2].partition('"')[0]
    for password in ("none", "", "anything at all"):
        assert client.post("/sign-in", data={"tie": tie, "name": "nora", "password": password}).status_code in (
            401,
            403,
        )


@pytest.mark.parametrize(
    "wrong",
    [
        {"nonce": "another"},
        {"aud": "another"},
        {"aud": ["gk", "another"]},
        {"iss": "https://elsewhere.example"},
        {"exp": 1},
        {"preferred_username": "stranger", "sub": "s-stranger"},
        {"preferred_username": None},
        {"sub": None},
        {"sub": "x" * 256},
        {"azp": "another"},
        {"back_iss": "https://elsewhere.example"},
        {"state": "guessed"},
        {"key": OTHER},
    ],
    ids=lambda wrong: ", ".join(f"{name}={value}" if name != "key" else name for name, value in wrong.items()),
)
def test_what_does_not_fit_signs_nobody_in(console: Console, wrong: dict[str, Any]) -> None:
    assert _walk(console, **wrong) == (401, "/sign-in")


@pytest.mark.parametrize(
    ("person", "ends"),
    [
        ({"sub": "s-nora", "preferred_username": "Nora"}, (200, "/site")),
        ({"sub": "s-another", "preferred_username": "nora"}, (401, "/sign-in")),
        ({"preferred_username": "nora"}, (401, "/sign-in")),
        ({"sub": "s-nora", "preferred_username": 7}, (401, "/sign-in")),
        ({"sub": "s-nora"}, (401, "/sign-in")),
    ],
)
def test_a_name_that_the_token_lacks_is_asked_for_and_must_be_of_the_same_person(
    console: Console, person: dict[str, Any], ends: tuple[int, str]
) -> None:
    Answering.person = person
    assert _walk(console, preferred_username=None) == ends


def test_an_unsigned_token_and_a_bare_way_back_are_refused(console: Console, tmp_path: Path) -> None:
    client = browser(console)
    assert client.get("/sign-in/oidc/back", params={"state": "x", "code": "y"}).status_code == 401
    sent = client.get("/sign-in/oidc").headers["location"]
    state = parse_qs(urlsplit(sent).query)["state"][0]
    Answering.token = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJ4In0."
    assert client.get("/sign-in/oidc/back", params={"state": state, "code": "y"}).status_code == 401
    plain = make_console(tmp_path / "site")
    assert browser(plain).get("/sign-in/oidc").status_code == 404


def test_a_user_is_one_person_at_the_provider_whatever_the_names_become(console: Console) -> None:
    assert _walk(console) == (200, "/site")
    assert _walk(console, preferred_username="nora.married") == (200, "/site")  # the same person, renamed there
    assert _walk(console, sub="s-another") == (401, "/sign-in")  # another person got the name
    assert console.bindings.all() == {"nora": "s-nora"}
    assert console.bindings.release("nora")
    assert _walk(console, sub="s-another") == (200, "/site")
    assert _walk(console) == (401, "/sign-in")
    console.users.change("nora", enabled=False)
    assert _walk(console, sub="s-another") == (401, "/sign-in")
    console.users.change("nora", enabled=True)
    console.bindings.release("nora")


def test_an_address_counts_where_the_provider_verified_it_and_roles_where_it_gives_them(console: Console) -> None:
    table = dict(read_table(console.home, "oidc"))
    console.users.add("nora.b", None, ("auditor",))
    roles = {"role_claim": "realm_access.roles", "it": "gait-it", "clinician": "gait-clinic"}
    try:
        write_table(console.home, "oidc", {**table, "claim": "email"})
        for verified, expected in ((True, 401), (None, 401)):  # "nora.b@..." is no user here; unverified is nobody
            assert _walk(console, sub="s-b", email="nora.b@clinic.example", email_verified=verified)[0] == expected
        assert _walk(console, sub="s-b", email="nora.b", email_verified=False)[0] == 401
        assert _walk(console, sub="s-b", email="nora.b", email_verified=True) == (200, "/site")
        write_table(console.home, "oidc", {**table, **roles})
        own = {"sub": "s-b", "preferred_username": "nora.b"}
        assert _walk(console, **own, realm_access={"roles": ["gait-clinic", "others"]}) == (200, "/today")
        assert next(user.roles for user in console.users.all() if user.name == "nora.b") == ("clinician",)
        for given in ({"roles": ["others"]}, {"roles": 5}, {}, "gait-it", None):
            assert _walk(console, **own, realm_access=given)[0] == 401
        write_table(console.home, "oidc", {**table, "role_claim": "groups"})
        assert browser(console).get("/sign-in").status_code == 422  # a claim without groups gives nobody a role
    finally:
        write_table(console.home, "oidc", table)
