"""What keeps the console answering: rates, deadlines, promised room; and reasons that quote nothing in the clear."""

from __future__ import annotations

import shutil
import socket
import threading
import time as clock
from collections import namedtuple
from collections.abc import Iterator
from pathlib import Path

import pytest
from console_fixtures import ADDRESS, Time, bearer, browser, events, make_console, signed_in, try_sign_in, upload
from starlette.testclient import TestClient

from gaitkeeper_client.console import connections, guard
from gaitkeeper_client.console.app import create_app
from gaitkeeper_client.console.context import Console
from gaitkeeper_client.console.database import Database
from gaitkeeper_client.console.forwarded import Proxies
from gaitkeeper_client.console.intake import SPARE_BYTES
from gaitkeeper_client.console.jobs import Room
from gaitkeeper_client.console.rates import MOST_ADDRESSES, Rates
from gaitkeeper_client.console.serve import web_server
from gaitkeeper_client.console.settings import console_settings
from gaitkeeper_client.console.worker import work
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.ports import free_port

PATIENCE_S = 20.0
Disk = namedtuple("Disk", "total used free")


@pytest.fixture(scope="module")
def console(tmp_path_factory: pytest.TempPathFactory) -> Console:
    return make_console(tmp_path_factory.mktemp("limits") / "site", Time(), requests_per_minute=60, upload_mb=20)


def test_every_route_is_braked_and_says_when_to_come_again(console: Console) -> None:
    client, key = browser(console), bearer(console, "read")
    answers = [client.get("/api/v1/jobs", headers=key) for _ in range(65)]
    assert {answer.status_code for answer in answers[:55]} == {200}
    assert answers[-1].status_code == 429
    assert answers[-1].json()["code"] == "console-too-fast"
    assert int(answers[-1].headers["retry-after"]) >= 1
    for path in ("/today", "/sign-in", "/static/console.css", "/nowhere"):  # whoever asks, and for whatever
        assert client.get(path).status_code == 429


def test_what_is_work_is_braked_earlier(console: Console) -> None:
    client = signed_in(console, "anna")
    codes = [client.get("/reports/r-0123456789abcdef").status_code for _ in range(10)]
    assert codes[:6] == [404] * 6
    assert codes[-1] == 429
    assert client.get("/today").status_code == 200


def test_a_bucket_fills_evenly_and_a_flood_of_addresses_takes_no_memory() -> None:
    now = [0.0]
    rates = Rates(60, lambda: now[0])
    for _ in range(60):
        rates.take("10.0.0.1", "GET", "/today")
    with pytest.raises(GaitkeeperError):
        rates.take("10.0.0.1", "GET", "/today")
    rates.take("10.0.0.2", "GET", "/today")
    now[0] += 1.01
    rates.take("10.0.0.1", "GET", "/today")
    for number in range(60):  # one network of 64 bits is one neighbour
        rates.take(f"2001:db8::{number:x}", "GET", "/today")
    with pytest.raises(GaitkeeperError):
        rates.take("2001:db8::ffff", "GET", "/today")
    for number in range(MOST_ADDRESSES + 50):
        rates.take(f"192.0.{number // 250}.{number % 250}", "GET", "/today")
    assert len(rates._buckets) <= MOST_ADDRESSES


@pytest.mark.parametrize(
    ("peer", "said", "who"),
    [
        ("10.0.0.5", ["198.51.100.7"], "198.51.100.7"),
        ("10.0.0.5", ["198.51.100.7, 10.0.0.9"], "198.51.100.7"),  # through two of ours
        ("10.0.0.5", ["203.0.113.1, 198.51.100.7"], "198.51.100.7"),  # who asks wrote the first one
        ("10.0.0.5", ["203.0.113.1", "198.51.100.7"], "198.51.100.7"),  # in a header of its own
        ("10.0.0.5", ["198.51.100.7:4711"], "198.51.100.7"),
        ("::ffff:10.0.0.5", ["[2001:db8::7]:4711"], "2001:db8::7"),
        ("10.0.0.5", ["10.0.0.9"], "10.0.0.5"),
        ("10.0.0.5", [], "10.0.0.5"),
        ("10.0.0.5", ["198.51.100.7, unknown"], "10.0.0.5"),
        ("192.0.2.1", ["198.51.100.7"], "192.0.2.1"),  # no proxy of ours
        ("192.0.2.1", ["10.0.0.5"], "192.0.2.1"),
        ("", ["198.51.100.7"], ""),
    ],
)
def test_only_a_named_proxy_says_who_asks(peer: str, said: list[str], who: str) -> None:
    assert Proxies.of(["10.0.0.0/24", "127.0.0.1"]).client(peer, said) == who
    assert Proxies().client(peer, said) == peer


def test_people_behind_a_named_proxy_have_limits_of_their_own(tmp_path: Path) -> None:
    made = make_console(tmp_path / "site", requests_per_minute=60, proxies=("10.0.0.5",))
    app = create_app(made)
    proxy = TestClient(app, base_url=ADDRESS, client=("10.0.0.5", 4711))
    for _ in range(60):
        proxy.get("/sign-in", headers={"x-forwarded-for": "198.51.100.7"})
    assert proxy.get("/sign-in", headers={"x-forwarded-for": "198.51.100.7"}).status_code == 429
    assert proxy.get("/sign-in", headers={"x-forwarded-for": "198.51.100.8"}).status_code == 200
    forged = {"x-forwarded-for": "203.0.113.9, 198.51.100.7"}
    assert proxy.get("/sign-in", headers=forged).status_code == 429
    other = TestClient(app, base_url=ADDRESS, client=("192.0.2.1", 4711))
    codes = [other.get("/sign-in", headers={"x-forwarded-for": f"198.51.100.{n}"}).status_code for n in range(70)]
    assert codes[-1] == 429  # whoever is no proxy changes nothing by what they write
    try_sign_in(proxy, "anna", "wrong", headers={"x-forwarded-for": "198.51.100.9"})
    assert ("console-sign-in-failed", "198.51.100.9") in [(name, facts.get("address")) for name, facts in events(made)]
    home = made.home
    for wrong in (["10.0.0.7/24"], ["proxy.example"], ["0.0.0.0/0"], ["::/0"]):
        with pytest.raises(GaitkeeperError, match="proxies"):
            console_settings(home, proxies=wrong)
    assert console_settings(home, proxies=["10.0.0.0/24"]).proxies == ("10.0.0.0/24",)


def test_room_is_promised_once(console: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    client, key = browser(console), bearer(console, "upload")
    disk = Disk(0, 0, SPARE_BYTES + 25_000_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: disk)
    asked = {"patient": "r1", "file_name": "walk.bvh", "size": 10_000_000}
    assert client.post("/api/v1/uploads", json=asked, headers=key).status_code == 201
    refused = client.post("/api/v1/uploads", json=asked, headers=key)
    assert (refused.status_code, refused.json()["code"]) == (507, "console-no-room")
    assert client.post("/api/v1/uploads", json={**asked, "size": 1_000_000}, headers=key).status_code == 201
    # 10 came of 10, which then lie sealed in what is no longer free: the copy that is read still needs 10.
    assert Room(20, 1).holds([(10, 10)], 10)
    assert not Room(19, 1).holds([(10, 10)], 10)
    assert not Room(29, 2).holds([(10, 10)], 10)


def test_a_readers_reason_is_sealed_in_the_consoles_records(console: Console) -> None:
    name = "Mustermann-1951"
    client = browser(console)
    data = f"HIERARCHY\nROOT {name}\n{{ {name}\n".encode()
    job = upload(client, data, bearer(console, "upload", "read"), patient="r2", consent="care")
    work(console, "console-worker-test", threading.Event(), until_empty=True)
    ended = console.queue.get(job)
    assert ended.state == "refused"
    assert ended.message
    shown = client.get(f"/api/v1/jobs/{job}", headers=bearer(console, "upload"))
    assert shown.status_code == 200, shown.text
    assert shown.json()["message"] == ended.message  # whoever may see the job still reads why
    sealed = console.queue.open("p-0123456789abcdef", "x", 5, room=lambda: Room(10**12, 1))
    console.queue.conclude(sealed.id, "refused", None, "bvh-bad", f"the joint {name}\nis not known")
    assert console.queue.get(sealed.id).message == f"the joint {name} is not known"
    kept = b"".join(path.read_bytes() for path in (console.home.path / "console").iterdir())
    assert name.encode() not in kept
    assert str(ended.message).encode() not in kept
    assert name not in console.home.audit_log.read_text()
    logs = console.home.logs.glob("*") if console.home.logs.is_dir() else ()
    assert all(name.encode() not in path.read_bytes() for path in logs)
    assert ("analysis-failed", ended.code) in [(event, facts.get("code")) for event, facts in events(console)]


def test_records_of_an_earlier_format_are_kept_and_get_what_is_new(tmp_path: Path) -> None:
    old = make_console(tmp_path / "site")
    with Database(old.home).write() as connection:
        connection.execute("DROP TABLE bindings")
        connection.execute("PRAGMA user_version = 1")
    again = Console.of(old.home, old.key, old.settings)
    assert [user.name for user in again.users.all()] == ["anna", "ivo", "otto"]
    assert again.bindings.all() == {}


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, int]]:
    """A console that really listens, with deadlines that a test can wait for."""
    whole = (connections.HEAD_S, connections.READER_S, connections.MOST_OF_ONE, guard.SILENCE_S)
    connections.HEAD_S, connections.READER_S, connections.MOST_OF_ONE, guard.SILENCE_S = 0.4, 0.4, 6, 0.4
    made = make_console(tmp_path_factory.mktemp("slow") / "site", port=free_port())
    server = web_server(made)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        clock.sleep(0.01)
    yield made.settings.host, made.settings.port
    server.should_exit = True
    thread.join(10)
    connections.HEAD_S, connections.READER_S, connections.MOST_OF_ONE, guard.SILENCE_S = whole


def _until_closed(link: socket.socket) -> bytes:
    link.settimeout(PATIENCE_S)
    told = b""
    try:
        while part := link.recv(65_536):
            told += part
    except ConnectionError:
        pass
    return told


@pytest.mark.parametrize("head", [b"", b"GET /sign-in HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: "])
def test_a_head_that_never_ends_is_not_waited_for(address: tuple[str, int], head: bytes) -> None:
    with socket.create_connection(address) as link:
        link.sendall(head)
        assert _until_closed(link) == b""


def test_a_body_that_stops_is_answered_and_the_connection_ends(address: tuple[str, int]) -> None:
    head = b"POST /api/v1/uploads HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: 99"
    with socket.create_connection(address) as link:
        link.sendall(head + b"\r\n\r\n{")
        told = _until_closed(link)
    assert told.startswith(b"HTTP/1.1 408")
    assert b"console-too-slow" in told


def test_the_next_request_of_a_connection_has_its_own_deadline(address: tuple[str, int]) -> None:
    ask = b"GET /sign-in HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    with socket.create_connection(address) as link:
        for _ in range(2):
            link.sendall(ask)
            link.settimeout(PATIENCE_S)
            assert link.recv(65_536).startswith(b"HTTP/1.1 200")
            clock.sleep(0.6)  # longer than a head may take, and idle: that is the browser's right
        link.sendall(ask[:20])
        _until_closed(link)
    with socket.create_connection(address) as fresh:  # and everybody else was served all the time
        fresh.sendall(ask)
        fresh.settimeout(PATIENCE_S)
        assert fresh.recv(65_536).startswith(b"HTTP/1.1 200")


def test_one_address_has_so_many_connections_and_no_more(address: tuple[str, int]) -> None:
    links = [socket.create_connection(address) for _ in range(10)]
    ask = b"GET /sign-in HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
    told = []
    for link in links:
        try:
            link.sendall(ask)
            told.append(_until_closed(link))
        except ConnectionError:
            told.append(b"")
        link.close()
    assert 0 < sum(answer.startswith(b"HTTP/1.1 200") for answer in told) <= 6
    assert told.count(b"") >= 4
