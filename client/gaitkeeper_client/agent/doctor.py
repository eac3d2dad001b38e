"""``gaitkeeper site doctor``: everything that stops a site from working, in plain words, with what to do."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from gaitkeeper_client.agent.supervisor import is_running
from gaitkeeper_client.consortium.connection import CoordinatorConnection, KeyFiles
from gaitkeeper_client.vault.home import SiteHome
from gaitkeeper_shared.doctor import (
    Check,
    Finding,
    check_audit,
    check_certificate,
    check_disk,
    check_owner,
    check_private,
    check_reach,
    check_skew,
    check_versions,
    examine,
)
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.trust.clock import Clock, utc_now

_RENEWED_BY = timedelta(days=50)
"""Certificates live 90 days and renew themselves from the 30th on: one with less than this left was not renewed."""
_ENROL = "Ask the coordinator for a new invitation ('coordinator invite'), then: gaitkeeper site enrol FILE --again"


def diagnose(home: SiteHome, *, clock: Clock = utc_now) -> tuple[Finding, ...]:
    """Look at everything. Raises ``site-not-initialised`` only: without a site there is nothing to look at."""
    home.config()
    checks: list[tuple[str, Check]] = [
        ("versions", check_versions),
        ("disk", lambda: check_disk(home.path)),
        ("keys", lambda: check_private(home.keys)),
        ("files", lambda: check_owner(home.path)),
        ("system libraries", _libraries),
        ("pose weights", _weights),
        ("audit log", lambda: check_audit(home.audit_log, clock())),
        ("ledger", lambda: _ledger(home)),
        ("policy", lambda: _policy(home)),
        ("enrolment", lambda: _enrolment(home)),
    ]
    if CoordinatorConnection.load_or_none(home) is not None:
        checks += [
            ("certificate", lambda: _certificate(home, clock)),
            ("site port", lambda: check_reach("site port", CoordinatorConnection.load(home).site_address)),
            ("rounds port", lambda: check_reach("rounds port", CoordinatorConnection.load(home).fleet_address)),
            ("coordinator", lambda: _coordinator(home, clock)),
            ("studies", lambda: _studies(home)),
        ]
    checks.append(("service", lambda: _service(home)))
    return examine(checks)


def _libraries() -> Iterable[Finding]:
    """Whether what reads videos can be loaded: both packages bring no graphics libraries of their own."""
    from importlib.util import find_spec

    import cv2

    from gaitkeeper_client.pose.no_uploads import keep_silent

    package = find_spec("mediapipe")
    if package is not None and package.origin is not None:
        keep_silent(Path(package.origin).parent)
    yield Finding("system libraries", "well", f"OpenCV {cv2.__version__} and MediaPipe find theirs")


def _weights() -> Iterable[Finding]:
    from gaitkeeper_client.pose.weights import pose_task_path

    yield Finding("pose weights", "well", str(pose_task_path()))


def _ledger(home: SiteHome) -> Iterable[Finding]:
    from gaitkeeper_client.vault.ledger import ledger_at_hand

    ledger = ledger_at_hand(home)
    seals = "each sealed by this site" if ledger.seals_checked else "its seals unchecked, which takes the passphrase"
    yield Finding("ledger", "well", f"{len(ledger.entries)} charges, an unbroken chain, {seals}")


def _policy(home: SiteHome) -> Iterable[Finding]:
    from gaitkeeper_client.consortium.policy import load_policy

    hours = load_policy(home).hours
    yield Finding("policy", "well", f"{home.policy_file}, training {f'from {hours}' if hours else 'at any hour'}")


def _enrolment(home: SiteHome) -> Iterable[Finding]:
    connection = CoordinatorConnection.load_or_none(home)
    if connection is None:
        yield Finding("enrolment", "warning", "not enrolled", "gaitkeeper site enrol FILE, with the invitation's file")
    else:
        yield Finding("enrolment", "well", f"{connection.site} with {connection.coordinator}")


def _certificate(home: SiteHome, clock: Clock) -> Iterable[Finding]:
    from cryptography.exceptions import InvalidSignature

    from gaitkeeper_shared.trust.certificates import load_certificate

    files = KeyFiles(home.keys)
    loaded = []
    for what, path in (("certificate", files.site_certificate), ("root", files.root_certificate)):
        found = load_certificate(path)
        loaded.append(found)
        renews = _RENEWED_BY if what == "certificate" else timedelta(0)
        span = found.not_valid_before_utc, found.not_valid_after_utc
        yield check_certificate(what, *span, clock(), renews=renews, remedy=_ENROL)
    try:
        own, root = loaded
        own.verify_directly_issued_by(root)
    except (ValueError, TypeError, InvalidSignature):
        yield Finding("certificate", "ill", f"another authority than {files.root_certificate} issued it", _ENROL)


def _coordinator(home: SiteHome, clock: Clock) -> Iterable[Finding]:
    from gaitkeeper_shared.rpc.channels import call
    from gaitkeeper_shared.rpc.gaitkeeper.v1 import studies_pb2 as messages
    from gaitkeeper_shared.rpc.gaitkeeper.v1 import studies_pb2_grpc as services

    endpoint = CoordinatorConnection.load(home).endpoint(home)
    with endpoint.channel() as channel:
        answer = call(services.StudiesStub(channel).ListStudies, messages.ListStudiesRequest(), endpoint)
    yield Finding("coordinator", "well", f"answers, and knows this site; it offers {len(answer.studies)} studies")
    if answer.coordinator_time:
        yield check_skew(datetime.fromtimestamp(answer.coordinator_time, UTC), clock())


def _studies(home: SiteHome) -> Iterable[Finding]:
    from gaitkeeper_client.consortium.policy import check_training
    from gaitkeeper_client.consortium.studies import known_offers

    offers = known_offers(home)
    for refused in offers.refused:
        remedy = "Ask the coordinator to sign and offer it anew; until then nothing of it is trained."
        yield Finding("studies", "ill", f"{refused.name}: [{refused.code}] {refused.message}", remedy)
    for offer in offers.offers:
        if offer.approved_at is None:
            continue
        try:
            check_training(home, offer.study, offer.hash)
            yield Finding("studies", "well", f"{offer.study.name} is approved, and the policy allows it now")
        except GaitkeeperError as error:
            yield Finding("studies", "warning", error.message, error.remedy)
    if not any(offer.approved_at for offer in offers.offers):
        yield Finding("studies", "warning", "none is approved", "gaitkeeper site studies, then gaitkeeper site approve")


def _service(home: SiteHome) -> Iterable[Finding]:
    if is_running(home):
        yield Finding("service", "well", "running")
    else:
        remedy = "gaitkeeper site start, or systemctl start gaitkeeper-site"
        yield Finding("service", "warning", "not running: no round is answered", remedy)
