"""The doctors on real homes and a real coordinator: what is broken is named, with what to do; the rest stays well."""

from __future__ import annotations

import socket
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from trust_fixtures import Consortium, new_site, running

from gaitkeeper_client.agent.doctor import diagnose
from gaitkeeper_client.consortium.policy import write_default_policy
from gaitkeeper_client.consortium.studies import approve, fetch_offers, find_offer
from gaitkeeper_client.vault.home import SiteHome
from gaitkeeper_server.doctor import diagnose as diagnose_coordinator
from gaitkeeper_server.store import CoordinatorStore
from gaitkeeper_shared.doctor import Finding, check_disk, check_reach, examine
from gaitkeeper_shared.trust.certificates import Authority, new_request, pem, read_request
from gaitkeeper_shared.trust.keys import new_tls_key

HOUR = timedelta(hours=1)


def by_name(findings: tuple[Finding, ...]) -> dict[str, Finding]:
    """The worst finding of each name."""
    order = ("well", "warning", "unknown", "ill")
    worst: dict[str, Finding] = {}
    for finding in findings:
        if finding.what not in worst or order.index(finding.verdict) > order.index(worst[finding.what].verdict):
            worst[finding.what] = finding
    return worst


@pytest.fixture
def consortium(tmp_path: Path):  # type: ignore[no-untyped-def]
    with running(tmp_path) as made:
        yield made


@pytest.fixture
def site(consortium: Consortium) -> SiteHome:
    consortium.signed_study()
    home = consortium.site("north")
    write_default_policy(home)
    fetch_offers(home)
    approve(home, find_offer(home, "walks"))
    return home


def test_a_healthy_site_is_well(site: SiteHome) -> None:
    found = by_name(diagnose(site))
    assert {name for name, finding in found.items() if finding.verdict == "ill"} == {
        "rounds port"
    }  # none is opened here
    assert found["coordinator"].verdict == "well"
    assert found["clock"].verdict == "well"
    assert found["studies"].verdict == "well"
    assert found["service"].verdict == "warning"
    assert all(finding.remedy for finding in found.values() if finding.verdict != "well")


def test_a_clock_an_hour_off_is_named(site: SiteHome) -> None:
    ahead = by_name(diagnose(site, clock=lambda: datetime.now(UTC) + HOUR))
    assert ahead["clock"].verdict == "ill"
    assert "60 minutes ahead" in ahead["clock"].detail
    behind = by_name(diagnose(site, clock=lambda: datetime.now(UTC) - HOUR))
    assert behind["clock"].verdict == "ill"


def test_certificates_that_end_are_named(site: SiteHome) -> None:
    unrenewed = by_name(diagnose(site, clock=lambda: datetime.now(UTC) + timedelta(days=60)))
    assert unrenewed["certificate"].verdict == "warning"
    expired = by_name(diagnose(site, clock=lambda: datetime.now(UTC) + timedelta(days=91)))
    assert expired["certificate"].verdict == "ill"
    assert "invitation" in expired["certificate"].remedy


def test_a_certificate_of_another_authority_is_named(site: SiteHome) -> None:
    request = read_request(new_request(new_tls_key(), "north"))
    (site.keys / "site.crt").write_bytes(pem(Authority.create("another").issue_site(request, "north")))
    found = by_name(diagnose(site))["certificate"]
    assert (found.verdict, "another authority" in found.detail) == ("ill", True)
    assert "invitation" in found.remedy


def test_a_revoked_site_is_told_so(consortium: Consortium, site: SiteHome) -> None:
    CoordinatorStore(consortium.home.store).revoke("north")
    assert by_name(diagnose(site))["coordinator"].verdict == "ill"


def test_damage_in_one_part_hides_no_other(site: SiteHome) -> None:
    site.policy_file.unlink()
    site.ledger.write_bytes(b"not a database" * 300)
    (site.keys / "site.key").chmod(0o644)
    found = by_name(diagnose(site))
    assert {"policy", "ledger", "keys"} <= {name for name, finding in found.items() if finding.verdict == "ill"}
    assert "[policy-missing]" in found["policy"].detail
    assert found["coordinator"].verdict == "ill"  # a key that others may read is not used
    assert found["audit log"].verdict == "well"


def test_a_site_that_nobody_invited_yet(tmp_path: Path) -> None:
    home = new_site(tmp_path / "new", "new")
    found = by_name(diagnose(home))
    assert found["enrolment"].verdict == "warning"
    assert "site port" not in found


def test_the_coordinator_sees_its_names_ports_and_silent_sites(consortium: Consortium, site: SiteHome) -> None:
    del site
    found = by_name(diagnose_coordinator(consortium.home))
    # The ports answer, but no service holds the home: to its doctor they are somebody else's.
    assert found["site port"].verdict == "ill"
    assert found["site north"].verdict == "well"
    assert found["names"].verdict == "well"
    later = by_name(diagnose_coordinator(consortium.home, clock=lambda: datetime.now(UTC) + timedelta(days=3)))
    assert later["site north"].verdict == "warning"
    assert "site doctor" in later["site north"].remedy


def test_a_proxy_that_forbids_the_port_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(20)
        asked: list[bytes] = []

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                asked.append(connection.recv(4096))
                connection.sendall(b"HTTP/1.1 403 Forbidden\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        monkeypatch.setenv("https_proxy", f"http://user:secret@127.0.0.1:{server.getsockname()[1]}")
        monkeypatch.delenv("grpc_proxy", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        (finding,) = check_reach("site port", "coordinator.invalid:7441")
        thread.join(20)
    assert asked[0].startswith(b"CONNECT coordinator.invalid:7441 HTTP/1.1\r\n")
    assert b"\r\nProxy-Authorization: Basic dXNlcjpzZWNyZXQ=\r\n" in asked[0]
    assert finding.verdict == "ill"
    assert "answers 403" in finding.detail
    assert "secret" not in finding.detail + finding.remedy


def test_names_and_ports_that_lead_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("grpc_proxy", "https_proxy", "http_proxy"):
        monkeypatch.delenv(name, raising=False)
    (unknown,) = check_reach("site port", "nowhere.invalid:7441")
    assert "DNS" in unknown.remedy
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        (refused,) = check_reach("site port", f"127.0.0.1:{closed.getsockname()[1]}")
    assert refused.verdict == "ill"
    assert "outbound" in refused.remedy


def test_a_folder_that_cannot_be_written_to() -> None:
    (finding,) = check_disk(Path("/proc"))
    assert finding.verdict == "ill"


def test_a_check_that_breaks_is_a_finding() -> None:
    def broken() -> list[Finding]:
        raise ZeroDivisionError("oh")

    findings = examine([("first", broken), ("second", lambda: [Finding("second", "well", "fine")])])
    assert [finding.verdict for finding in findings] == ["unknown", "well"]
