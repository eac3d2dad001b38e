"""Nothing that was queued is lost, nothing is stored twice, and nothing counts as delivered that the server has not."""

from __future__ import annotations

import contextlib
import json
import random
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from exchange_fixtures import FhirServerDouble, fhir_double
from hypothesis import given, settings
from hypothesis import strategies as st

from gaitkeeper_client.exchange.delivery import LONGEST_WAIT_S, deliver
from gaitkeeper_client.exchange.fhir import FhirDocument
from gaitkeeper_client.exchange.outbox import Outbox
from gaitkeeper_client.exchange.server import FhirServer, fhir_server, name_server
from gaitkeeper_client.vault.home import SiteHome, create_home
from gaitkeeper_shared.errors import GaitkeeperError

NOW = 1_000_000.0


@pytest.fixture
def double() -> Iterator[FhirServerDouble]:
    with fhir_double() as running:
        yield running


@pytest.fixture
def outbox(tmp_path: Path) -> Outbox:
    return Outbox(tmp_path / "exchange" / "outbox.sqlite")


def document(report: str, state: str = "draft") -> FhirDocument:
    entry = {
        "resource": {"resourceType": "DiagnosticReport", "status": state},
        "request": {"method": "PUT", "url": f"DiagnosticReport?identifier={report}"},
    }
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": [entry]}
    return FhirDocument(report, state, json.dumps(bundle).encode())


def states(outbox: Outbox) -> dict[str, str]:
    return {post.report: post.state for post in outbox.posts()}


def test_a_report_arrives_with_the_token_and_a_second_one_replaces_it(
    outbox: Outbox, double: FhirServerDouble, tmp_path: Path
) -> None:
    (tmp_path / "token").write_text("secret-token\n")
    server = FhirServer(double.url, tmp_path / "token")
    for state in ("preliminary", "final"):
        outbox.queue("r-1", NOW)
        done = deliver(outbox, server, lambda report, state=state: document(report, state), clock=lambda: NOW)
        assert done.delivered == ("r-1",)
    assert [one["status"] for one in double.stored["DiagnosticReport?identifier=r-1"]] == ["preliminary", "final"]
    assert set(double.tokens) == {"Bearer secret-token"}
    assert deliver(outbox, server, document, clock=lambda: NOW).delivered == ()
    assert b"secret-token" not in outbox.path.read_bytes()


@pytest.mark.parametrize(
    ("answer", "state", "word"),
    [
        ((503, {"Retry-After": "900"}, b""), "waiting", "503"),
        ((401, {}, b""), "waiting", "token"),
        ((302, {"Location": "https://elsewhere.example/"}, b""), "waiting", "302"),
        ((200, {}, b"<html>Please sign in</html>"), "waiting", "no FHIR server"),
        ((200, {}, b'{"resourceType":"Bundle","type":"transaction-response","entry":[]}'), "waiting", "0 of 1"),
        ((404, {}, b""), "waiting", "404"),
        (
            (422, {}, b'{"resourceType":"OperationOutcome","issue":[{"code":"x","diagnostics":"no\\u001bsuch code"}]}'),
            "refused",
            "no such code",
        ),
    ],
)
def test_only_what_the_server_says_it_stored_is_delivered(
    outbox: Outbox, double: FhirServerDouble, answer: tuple[int, dict[str, str], bytes], state: str, word: str
) -> None:
    double.answers.append(answer)
    outbox.queue("r-1", NOW)
    done = deliver(outbox, FhirServer(double.url), document, clock=lambda: NOW)
    assert word in done.message
    (post,) = outbox.posts()
    assert (outbox.find("r-1"), outbox.find("r-2")) == (post, None)
    assert (post.state, post.attempts) == (state, 1)
    if state == "waiting":
        assert post.next_at >= NOW + (900.0 if "Retry-After" in answer[1] else 15.0)
        later = deliver(outbox, FhirServer(double.url), document, clock=lambda: post.next_at)
        assert later.delivered == ("r-1",)


def test_a_server_that_is_down_is_asked_once_in_a_run_and_keeps_everything_waiting(outbox: Outbox) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, and nobody listens
        for number in range(5):
            outbox.queue(f"r-{number}", NOW + number)
        address = f"http://127.0.0.1:{taken.getsockname()[1]}/r4"
        done = deliver(outbox, FhirServer(address), document, clock=lambda: NOW + 9)
    assert done.later == ("r-0",)
    assert set(states(outbox).values()) == {"waiting"}


def test_one_report_that_is_gone_or_damaged_keeps_no_other_back(outbox: Outbox, double: FhirServerDouble) -> None:
    for number, name in enumerate(("gone", "damaged", "good")):
        outbox.queue(name, NOW + number)

    def content(report: str) -> FhirDocument:
        if report == "gone":
            raise GaitkeeperError("report-unknown", report=report)
        if report == "damaged":
            raise GaitkeeperError("report-damaged", report=report, detail="cut off")
        return document(report)

    deliver(outbox, FhirServer(double.url), content, clock=lambda: NOW + 9)
    assert states(outbox) == {"gone": "gone", "damaged": "refused", "good": "delivered"}


def test_what_is_queued_again_while_it_is_sent_is_sent_again(outbox: Outbox, double: FhirServerDouble) -> None:
    outbox.queue("r-1", NOW)
    double.after = lambda: outbox.queue("r-1", NOW + 1)
    deliver(outbox, FhirServer(double.url), document, clock=lambda: NOW)
    assert states(outbox) == {"r-1": "waiting"}
    double.after = None
    deliver(outbox, FhirServer(double.url), document, clock=lambda: NOW + 2)
    assert states(outbox) == {"r-1": "delivered"}


@settings(max_examples=15, deadline=None)
@given(attempts=st.integers(1, 60), seed=st.integers(0, 1000))
def test_waits_grow_and_stay_below_an_hour(attempts: int, seed: int) -> None:
    from gaitkeeper_client.exchange.delivery import _wait
    from gaitkeeper_client.exchange.outbox import Post

    waits = [
        _wait(Post("r", 1, "waiting", 0.0, number, 0.0, None, ""), random.Random(seed)) for number in range(attempts)
    ]
    assert all(15.0 <= wait <= LONGEST_WAIT_S for wait in waits)
    assert waits == sorted(waits)


@pytest.mark.parametrize(
    "url",
    ["http://fhir.clinic.example/r4", "https://", "ftp://a/b", "https://user:hunter2@fhir.example/r4", "fhir.example"],
)
def test_addresses_without_tls_or_with_a_password_are_refused(url: str) -> None:
    with pytest.raises(GaitkeeperError) as failed:
        FhirServer(url)
    assert failed.value.code == "fhir-server-bad"
    assert "hunter2" not in str(failed.value)


def test_a_server_is_the_one_that_was_named_and_a_strange_certificate_is_not_it(
    tmp_path: Path, outbox: Outbox, double: FhirServerDouble
) -> None:
    home = SiteHome(tmp_path / "site")
    create_home(home, "clinic-a", "file")
    with pytest.raises(GaitkeeperError, match="no FHIR server"):
        fhir_server(home)
    name_server(home, FhirServer("https://fhir.example/r4", tmp_path / "token"))
    assert fhir_server(home) == FhirServer("https://fhir.example/r4", tmp_path / "token")
    outbox.queue("r-1", NOW)
    spoken = FhirServer(double.url.replace("http://", "https://"))  # what answers there speaks no TLS
    assert deliver(outbox, spoken, document, clock=lambda: NOW).later == ("r-1",)
    assert double.tokens == []


CHILD = """
import json, sys
sys.path.insert(0, {here!r})
from pathlib import Path
from test_exchange_outbox import document
from gaitkeeper_client.exchange.delivery import deliver
from gaitkeeper_client.exchange.outbox import Outbox
from gaitkeeper_client.exchange.server import FhirServer
outbox, number = Outbox(Path({path!r})), 0
print("ready", flush=True)
while True:
    name = f"{start}-{{number}}"
    outbox.queue(name, 0.0)
    print(name, flush=True)
    if number % 3 == 2:
        deliver(outbox, FhirServer({url!r}), document)
    number += 1
"""


def test_kill_9_at_any_moment_loses_nothing_that_was_queued(outbox: Outbox, double: FhirServerDouble) -> None:
    told: list[str] = []
    drawn = random.Random(5)
    for start in range(3):
        here = str(Path(__file__).parent)
        code = CHILD.format(here=here, path=str(outbox.path), start=start, url=double.url)
        child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        time.sleep(drawn.uniform(0.05, 0.4))
        child.send_signal(signal.SIGKILL)
        child.wait(10)
        told += [line.strip() for line in child.stdout.read().splitlines()]
        child.stdout.close()
    assert len(told) > 3
    assert set(told) <= set(states(outbox))
    deliver(outbox, FhirServer(double.url), document)
    assert set(states(outbox).values()) == {"delivered"}
    assert {f"DiagnosticReport?identifier={name}" for name in states(outbox)} == set(double.stored)


def test_a_damaged_outbox_says_what_to_do(outbox: Outbox) -> None:
    outbox.queue("r-1", NOW)
    outbox.path.write_bytes(b"this is no database, and it is long enough to be looked at" * 40)
    with pytest.raises(GaitkeeperError) as failed:
        outbox.posts()
    assert failed.value.code == "outbox-damaged"
    assert "--all" in failed.value.remedy


def test_what_may_lie_at_a_server_is_taken_back_once_its_patient_is_gone(
    outbox: Outbox, double: FhirServerDouble
) -> None:
    for name in ("r-sent", "r-lost", "r-never"):
        outbox.queue(name, NOW)
    double.answers = [(503, {}, b"")]
    deliver(outbox, FhirServer(double.url), document, clock=lambda: NOW)
    assert states(outbox) == {"r-lost": "waiting", "r-never": "delivered", "r-sent": "delivered"}
    outbox.queue("r-4", NOW)  # it never left
    parts = {"r-sent": "walk,proposal", "r-lost": "walk", "r-4": "walk", "r-unknown": "walk"}
    assert set(outbox.retract(parts, NOW)) == {"r-sent", "r-lost"}  # what got no answer may have been stored
    assert outbox.retract(parts, NOW) == ()
    assert states(outbox)["r-4"] == "gone"
    server = FhirServer(double.url)
    waiting = deliver(outbox, server, document, clock=lambda: NOW, still_kept=lambda _: True)
    assert set(waiting.later) == {"r-sent", "r-lost"}
    assert "site erase" in waiting.message
    done = deliver(outbox, server, document, clock=lambda: NOW + 9 * LONGEST_WAIT_S)
    assert set(done.retracted) == {"r-sent", "r-lost"}
    latest = {url: versions[-1] for url, versions in double.stored.items()}
    taken = {url: one for url, one in latest.items() if one["status"] == "entered-in-error"}
    assert len(taken) == 5  # two reports, two walks, one proposal
    assert not any(name in json.dumps(taken) for name in ("subject", "valueQuantity", "component", "effective"))
    assert any(url.endswith("r-sent%2Fproposal") for url in taken)
    assert states(outbox)["r-sent"] == "retracted"


def test_an_outbox_of_an_earlier_format_knows_what_may_have_left(outbox: Outbox) -> None:
    outbox.queue("r-1", NOW)
    with contextlib.closing(sqlite3.connect(outbox.path)) as database:
        for column in ("kind", "sent", "parts"):
            database.execute(f"ALTER TABLE outbox DROP COLUMN {column}")
        database.execute("UPDATE outbox SET attempts = 1, state = 'delivered'")
        database.execute("PRAGMA user_version = 1")
        database.commit()
    (post,) = outbox.posts()
    assert (post.kind, post.sent, post.state) == ("report", 1, "delivered")
