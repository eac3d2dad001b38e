"""Who is let into the rounds: enrolled sites, to the last moment of their certificate and not beyond it."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta

import pytest

from gaitkeeper_server.rounds.admitted import AdmittedNodes
from gaitkeeper_server.store import SiteRecord
from gaitkeeper_shared.trust.certificates import SITE_DAYS, Authority, new_request, pem, read_request
from gaitkeeper_shared.trust.keys import new_tls_key

START = datetime(2026, 1, 1, tzinfo=UTC)
END = START + timedelta(days=SITE_DAYS)
SECOND = timedelta(seconds=1)


def record(name: str, certificate: bytes | None, key: bytes | None = b"key") -> SiteRecord:
    return SiteRecord(name, "enrolled", "2026", "2026", certificate, key, None)


@pytest.fixture(scope="module")
def certificate() -> bytes:
    request = read_request(new_request(new_tls_key(), "north"))
    return pem(Authority.create("test").issue_site(request, "north", clock=lambda: START))


def test_a_site_is_in_to_the_last_moment_of_its_certificate_and_named_once_after_it(
    certificate: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    now = END
    admitted = AdmittedNodes(lambda: (record("north", certificate),), lambda: now)
    with caplog.at_level(logging.WARNING):
        assert admitted() == {"north": b"key"}
        now = END + SECOND
        assert admitted() == admitted() == {}
    (said,) = caplog.messages
    assert f"north: its certificate expired on {END:%Y-%m-%d %H:%M} UTC" in said
    assert "coordinator invite north" in said


def test_a_site_that_enrolled_again_is_in_and_named_anew_when_that_ends_too(
    certificate: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    now, sites = END + SECOND, [record("north", certificate)]
    admitted = AdmittedNodes(lambda: tuple(sites), lambda: now)
    assert admitted() == {}
    now = START + SECOND  # as a fresh certificate would do
    assert admitted() == {"north": b"key"}
    now = END + SECOND
    assert admitted() == {}
    assert len(caplog.messages) == 2


@pytest.mark.parametrize("unreadable", [None, b"", b"none", b"-----BEGIN CERTIFICATE-----\nAAAA\n"])
def test_without_a_readable_certificate_only_that_site_is_out(
    certificate: bytes, unreadable: bytes | None, caplog: pytest.LogCaptureFixture
) -> None:
    sites = (record("north", certificate), record("south", unreadable), record("west", certificate, None))
    assert AdmittedNodes(lambda: sites, lambda: START + SECOND)() == {"north": b"key"}
    (said,) = caplog.messages
    assert said.startswith("south: its certificate cannot be read")
