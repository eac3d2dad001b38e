"""Who gets into the console, how a session lives and dies, and what a hostile visitor meets."""

from __future__ import annotations

from pathlib import Path

import pytest
from console_fixtures import (
    OCTETS,
    PASSWORD,
    Time,
    bearer,
    browser,
    csrf_of,
    events,
    make_console,
    signed_in,
    tie_of,
    try_sign_in,
    upload,
)

from gaitkeeper_client.console.context import Console
from gaitkeeper_shared.errors import GaitkeeperError


@pytest.fixture(scope="module")
def time() -> Time:
    return Time()


@pytest.fixture(scope="module")
def console(tmp_path_factory: pytest.TempPathFactory, time: Time) -> Console:
    return make_console(tmp_path_factory.mktemp("console") / "site", time, session_hours=2)


def test_nobody_sees_anything_before_signing_in(console: Console) -> None:
    client = browser(console)
    for path in ("/", "/today", "/upload", "/site", "/audit", "/patients", "/reports/r-0123456789abcdef"):
        answer = client.get(path)
        assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in"), path
    answer = client.get("/api/v1/jobs")
    assert answer.status_code == 401
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"] == "console-signed-out"


def test_every_answer_has_the_headers_that_keep_pages_apart(console: Console) -> None:
    client = browser(console)
    for answer in (
        client.get("/sign-in"),
        client.get("/none"),
        client.get("/api/v1/jobs"),
        client.get("/static/console.js"),
    ):
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["x-frame-options"] == "DENY"
    assert client.get("/sign-in").headers["cache-control"] == "no-store"
    assert "<style" not in client.get("/sign-in").text
    assert " style=" not in client.get("/sign-in").text


def test_sign_in_makes_a_fresh_session_and_sign_out_ends_it(console: Console) -> None:
    client = browser(console)
    client.cookies.set("gaitkeeper", "planted-by-somebody-else")
    answer = try_sign_in(client, "anna")
    cookie = next(item for item in answer.headers.get_list("set-cookie") if item.startswith("gaitkeeper="))
    assert answer.status_code == 303
    assert "planted" not in cookie
    assert {"HttpOnly", "SameSite=strict", "Path=/"} <= {part.strip() for part in cookie.split(";")}
    assert client.get("/today").status_code == 200
    token = cookie.split(";")[0].removeprefix("gaitkeeper=")
    before = csrf_of(client)
    assert client.post("/sign-out", data={"csrf": "guessed"}).status_code == 403
    assert client.post("/sign-out", data={"csrf": before}).status_code == 303
    client.cookies.set("gaitkeeper", token)
    assert client.get("/today").headers["location"] == "/sign-in"
    assert ("console-signed-in", "anna") in [(event, facts["by"]) for event, facts in events(console)]
    assert token not in console.home.audit_log.read_text()
    raw = b"".join(path.read_bytes() for path in (console.home.path / "console").iterdir())
    assert token.encode() not in raw
    assert PASSWORD.encode() not in raw


def test_a_session_ends_when_it_is_not_used_and_after_the_day(console: Console, time: Time) -> None:
    client = signed_in(console, "anna")
    for _ in range(3):
        time.pass_(minutes=10)
        assert client.get("/today").status_code == 200
    time.pass_(minutes=10)
    assert client.get("/api/v1/jobs", headers={"x-gaitkeeper-poll": "1"}).status_code == 200
    time.pass_(minutes=6)  # the list that refreshes itself keeps nobody signed in
    assert client.get("/today").status_code == 303
    client = signed_in(console, "anna")
    answers = []
    for _ in range(8):
        time.pass_(minutes=14)
        answers.append(client.get("/today").status_code)
    assert answers == [200] * 8
    time.pass_(minutes=9)
    assert client.get("/today").status_code == 303  # two hours after signing in


def test_guessing_is_slowed_down_and_does_not_lock_others_out(console: Console, time: Time) -> None:
    client = browser(console)
    codes = [try_sign_in(client, "otto", f"wrong password {number}").status_code for number in range(6)]
    assert codes == [401] * 5 + [429]
    assert try_sign_in(client, "otto").status_code == 429
    assert try_sign_in(client, "anna").status_code == 303
    time.pass_(minutes=16)
    assert try_sign_in(client, "otto").status_code == 303
    try_sign_in(client, "four words make one")  # a password where the name belongs
    failed = [facts for event, facts in events(console) if event == "console-sign-in-failed"]
    assert failed[-1]["by"] == "unknown"
    assert PASSWORD not in console.home.audit_log.read_text()


def test_who_is_shut_out_is_out_at_once(console: Console) -> None:
    console.users.add("rita", PASSWORD, ("clinician",))
    client = signed_in(console, "rita")
    assert client.get("/today").status_code == 200
    console.users.change("rita", enabled=False)
    assert client.get("/today").status_code == 303
    assert try_sign_in(client, "rita").status_code == 401
    for name, password in (("Rita", PASSWORD), ("../x", PASSWORD), ("ok", "short"), ("rita2", "my name is rita2 yes")):
        with pytest.raises(GaitkeeperError) as caught:
            console.users.add(name, password, ("clinician",))
        assert caught.value.code in ("console-bad-user", "console-password-weak")


DOORS = {
    "anna": {"/today", "/upload", "/patients"},
    "ivo": {"/site", "/studies", "/budget", "/deployments", "/health"},
    "otto": {"/site", "/studies", "/budget", "/deployments", "/audit"},
}


def test_roles_open_their_own_doors_only(console: Console) -> None:
    for name, own in DOORS.items():
        client = signed_in(console, name)
        for path in set().union(*DOORS.values()):
            expected = 200 if path in own else 403
            assert client.get(path).status_code == expected, (name, path)
    denied = [(facts["by"], facts["what"]) for event, facts in events(console) if event == "console-denied"]
    assert {("ivo", "/today"), ("anna", "/audit"), ("otto", "/health")} <= set(denied)
    asked = {"patient": "x", "file_name": "a.bvh", "size": 5}
    for name, path, body in (
        ("ivo", "/api/v1/uploads", {"json": asked}),
        ("otto", f"/studies/{'a' * 64}/approve", {"data": {}}),
        ("otto", "/studies/fetch", {"data": {}}),
        ("anna", f"/studies/{'a' * 64}/withdraw", {"data": {}}),
        ("ivo", "/patients/p-0123456789abcdef/note", {"data": {"note": "x"}}),
        ("ivo", "/reports/r-0123456789abcdef/decide", {"data": {"passphrase": "x"}}),
    ):
        client = signed_in(console, name)
        token = csrf_of(client)
        if "data" in body:
            body["data"] = {**body["data"], "csrf": token}
        answer = client.post(path, headers={"x-csrf-token": token}, **body)
        assert answer.status_code == 403, (name, path)
        assert "may not do that" in answer.text


def test_the_audit_page_says_when_the_log_was_changed(tmp_path: Path) -> None:
    console = make_console(tmp_path / "site")
    client = signed_in(console, "otto")
    client.get("/site")
    assert "Whole:" in client.get("/audit").text
    text = console.home.audit_log.read_text()
    console.home.audit_log.write_text(text.replace('"what":"site"', '"what":"none"', 1))
    page = client.get("/audit")
    assert "Whole:" not in page.text
    assert "its text does not fit its hash" in page.text


def test_who_has_no_password_signs_in_with_none(console: Console) -> None:
    console.users.add("nora", None, ("auditor",))
    for name in ("nora", "nobody"):
        for password in ("none", "", "nobody has this password, yet it takes as long to check"):
            with pytest.raises(GaitkeeperError) as refused:
                console.users.check(name, password, "10.0.0.9")
            assert refused.value.code == "console-wrong-password"


def test_changes_need_the_sessions_own_token_and_our_own_page(console: Console) -> None:
    client, other = signed_in(console, "anna"), signed_in(console, "anna")
    asked = {"patient": "x", "file_name": "a.bvh", "size": 5}
    good = {"x-csrf-token": csrf_of(client)}
    for headers in ({}, {"x-csrf-token": ""}, {"x-csrf-token": csrf_of(other)}):
        assert client.post("/api/v1/uploads", json=asked, headers=headers).json()["code"] == "console-forged"
    strange = [{"origin": origin} for origin in ("https://evil.example", "null", "http://[")]
    for extra in (*strange, {"sec-fetch-site": "cross-site"}):
        assert client.post("/api/v1/uploads", json=asked, headers={**good, **extra}).status_code == 403
    assert client.post("/api/v1/uploads", json=asked, headers=good).status_code == 201
    assert client.get("/today", headers={"host": "evil.example"}).status_code == 403  # DNS rebinding
    stranger = browser(console)
    answer = stranger.post("/sign-in", data={"tie": "made up", "name": "anna", "password": PASSWORD})
    assert answer.status_code == 403
    own = tie_of(stranger)
    stranger.cookies.clear()
    assert stranger.post("/sign-in", data={"tie": own, "name": "anna", "password": PASSWORD}).status_code == 403


def test_keys_open_what_their_scopes_say(console: Console, time: Time) -> None:
    client = browser(console)
    up, read = bearer(console, "upload"), bearer(console, "read")
    assert client.get("/api/v1/jobs", headers=up).status_code == 403
    assert client.get("/api/v1/jobs", headers=read).status_code == 200
    assert client.get("/today", headers=read).status_code in (303, 403)
    job = upload(client, b"HIERARCHY\nROOT", up)
    assert client.get(f"/api/v1/jobs/{job}", headers=up).json()["state"] == "queued"
    assert client.get("/api/v1/jobs?sinec=2026", headers=read).json()["code"] == "console-bad-input"
    foreign = bearer(console, "upload")
    console.api_keys.revoke(up["authorization"].split("_")[1])
    assert client.get(f"/api/v1/jobs/{job}", headers=up).status_code == 401
    assert client.get(f"/api/v1/jobs/{job}", headers={"authorization": "Bearer gk_x_y"}).status_code == 401
    # The foreign key has the same name; make one of another name.
    other = {"authorization": f"Bearer {console.api_keys.add('other', ('upload',))}"}
    assert client.get(f"/api/v1/jobs/{job}", headers=other).status_code == 404
    assert client.head(f"/api/v1/uploads/{job}", headers=other).status_code == 404
    patch = client.patch(f"/api/v1/uploads/{job}", content=b"x", headers={**other, **OCTETS, "upload-offset": "0"})
    assert patch.status_code == 404
    short = {"authorization": f"Bearer {console.api_keys.add('short', ('read',), days=1)}"}
    assert client.get("/api/v1/jobs", headers=short).status_code == 200
    time.pass_(days=1, seconds=1)
    assert client.get("/api/v1/jobs", headers=short).status_code == 401
    secret = foreign["authorization"].split("_", 2)[2].encode()
    assert secret not in b"".join(path.read_bytes() for path in (console.home.path / "console").iterdir())
