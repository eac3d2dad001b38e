"""Reports that the vault keeps: what was measured in one walk of an identified patient, and what a model said of it.

A kept report never changes. What a clinician decides on it is kept beside it (:mod:`.decisions`), each decision signed;
until the first signature the report is a draft. The canonical bytes of a report are JSON with sorted keys; the
recording that the figures are drawn from follows them, named in them by its SHA-256.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

from gaitkeeper_client.gait.analysis import Analysis, analysis_of
from gaitkeeper_client.insight.context import PatientContext
from gaitkeeper_client.insight.findings import Findings, findings_of
from gaitkeeper_client.signing.items import MEASUREMENTS, Item, items_of
from gaitkeeper_client.signing.statements import Decision, Statement, statements_of
from gaitkeeper_client.vault.documents import document_bytes, find_document, heads_of, put_document
from gaitkeeper_client.vault.events import record
from gaitkeeper_client.vault.records import DocumentHead
from gaitkeeper_shared import __version__
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.recording import Recording, decode_recording, encode_recording
from gaitkeeper_shared.typed_json import from_json

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gaitkeeper_client.vault.home import SiteHome
    from gaitkeeper_client.vault.store import Vault

REPORT_SCHEMA = "gaitkeeper.report/1"
KIND = "report"
State = Literal["draft", "signed", "amended"]


@dataclass(frozen=True, slots=True)
class KeptReport:
    """One report as the vault keeps it.

    ``id``: random, lasting. ``recorded_at``: when the patient walked, None where nobody said; ``created_at``: when it
    was analysed; both UTC, ISO 8601. ``items``: what a clinician has to decide on. ``sha256``: of the canonical bytes,
    what a signature is over. ``statements``: what clinicians signed about it, oldest first; who shows them as signed
    verifies them first (:func:`.verification.verified`). ``software``: the version of Gaitkeeper.
    """

    id: str
    pseudonym: str
    recorded_at: str | None
    created_at: str
    patient: PatientContext
    analysis: Analysis
    findings: Findings | None
    software: str
    items: tuple[Item, ...] = ()
    sha256: str = ""
    statements: tuple[Statement, ...] = ()

    @property
    def decisions(self) -> Mapping[str, Decision]:
        """By item, what was decided last."""
        return {decision.item: decision for statement in self.statements for decision in statement.decisions}

    @property
    def undecided(self) -> tuple[Item, ...]:
        """The items that nobody signed, amended or overruled yet."""
        return tuple(item for item in self.items if item.id not in self.decisions)

    @property
    def overruled(self) -> Decision | None:
        """The clinician's word that the measurements of this walk do not hold; None where nobody's last word is that.

        Then no value of it is sent on or compared; the report itself keeps showing what was measured."""
        last = self.decisions.get(MEASUREMENTS)
        return last if last is not None and last.verdict == "overruled" else None

    @property
    def state(self) -> State:
        """``draft`` until every item is decided on, then ``signed``; ``amended`` where more was said after that."""
        left = {item.id for item in self.items}
        for number, statement in enumerate(self.statements, start=1):
            left -= {decision.item for decision in statement.decisions}
            if not left:
                return "signed" if number == len(self.statements) else "amended"
        return "draft"

    @property
    def walked_at(self) -> datetime:
        """When the patient walked, or, where nobody said, when it was analysed; UTC."""
        moment = datetime.fromisoformat(self.recorded_at or self.created_at)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)

    @property
    def model_version(self) -> str | None:
        """The release that spoke; None where none did."""
        return self.findings.model.version if self.findings and self.findings.model else None

    @property
    def source_sha256(self) -> str:
        """SHA-256 of the recording's file, in hex; empty where the source has none."""
        return str(self.analysis.source.get("sha256") or "")


@dataclass(frozen=True, slots=True)
class Saved:
    """What :func:`save` did; ``new`` is False where the vault kept this very result already."""

    report: KeptReport
    new: bool


def save(
    home: SiteHome,
    vault: Vault,
    patient: PatientContext,
    analysis: Analysis,
    findings: Findings | None,
    *,
    recorded_at: str | None = None,
    now: datetime | None = None,
) -> Saved:
    """Keep a report of a patient of this vault, durably, with an entry in the audit log.

    ``recorded_at``: when the patient walked; None for what the vault knows of this file, if it holds it. The same file
    with the same model and version of Gaitkeeper is kept once. Raises ``vault-no-such-patient``;
    ``consent-missing`` without consent for care; ``vault-busy``, ``disk-full``.
    """
    known = vault.named(patient.pseudonym)
    if not known.allows("care"):
        raise GaitkeeperError("consent-missing", pseudonym=known.pseudonym, purpose="care")
    recorded_at = recorded_at or _known_moment(vault, known.pseudonym, analysis)
    created = (now or datetime.now(UTC)).astimezone(UTC).isoformat(timespec="seconds")
    made = KeptReport(
        id=f"r-{secrets.token_hex(8)}",
        pseudonym=known.pseudonym,
        recorded_at=recorded_at,
        created_at=created,
        patient=patient,
        analysis=analysis,
        findings=findings,
        software=__version__,
        items=items_of(analysis, findings),
    )
    if (before := _same(vault, made)) is not None:
        return Saved(before, new=False)
    content = _canonical(made)
    body = b"" if analysis.recording is None else encode_recording(analysis.recording)
    head = DocumentHead(made.id, KIND, created, recorded_at or "", "", made.source_sha256)
    put_document(vault, known.pseudonym, head, len(content).to_bytes(8, "big") + content + body)
    record(home, "report-kept", patient=known.pseudonym, report=made.id)
    return Saved(load(vault, made.id), new=True)


def _known_moment(vault: Vault, pseudonym: str, analysis: Analysis) -> str | None:
    """When the recording of this file was made, where it was ingested and somebody said so."""
    digest = analysis.source.get("sha256")
    known = (one for one in vault.facts_of_recordings(pseudonym) if one.source_sha256 == digest)
    return next((one.recorded_at for one in known), None)


def load(vault: Vault, report_id: str) -> KeptReport:
    """A kept report with the statements about it. Raises ``report-unknown``, ``report-damaged``."""
    found = find_document(vault, report_id)
    if found is None or found[1].kind != KIND:
        raise GaitkeeperError("report-unknown", report=report_id)
    return _opened(vault, found[0], report_id)


def list_for(vault: Vault, pseudonym: str) -> tuple[KeptReport, ...]:
    """The reports of one patient, by when they walked. Raises as :func:`load`, and ``vault-no-such-patient``."""
    names = [head.name for head in heads_of(vault, pseudonym) if head.kind == KIND]
    return tuple(sorted((_opened(vault, pseudonym, name) for name in names), key=_order))


@dataclass(frozen=True, slots=True)
class _Items:
    items: tuple[Item, ...]


def _canonical(report: KeptReport) -> bytes:
    """The bytes that a signature is over."""
    recording = report.analysis.recording
    table: dict[str, Any] = {
        "schema": REPORT_SCHEMA,
        "id": report.id,
        "pseudonym": report.pseudonym,
        "recorded_at": report.recorded_at,
        "created_at": report.created_at,
        "patient": asdict(report.patient),
        "software": report.software,
        "items": [asdict(item) for item in report.items],
        "analysis": report.analysis.to_json(),
        "findings": None if report.findings is None else report.findings.to_json(),
        "recording_sha256": None if recording is None else hashlib.sha256(encode_recording(recording)).hexdigest(),
    }
    return json.dumps(table, sort_keys=True, separators=(",", ":"), allow_nan=False).encode("utf-8")


def _order(report: KeptReport) -> tuple[datetime, str]:
    return report.walked_at, report.created_at


def _same(vault: Vault, made: KeptReport) -> KeptReport | None:
    """A report of the same file that says the same."""
    if not made.source_sha256:
        return None
    for head in heads_of(vault, made.pseudonym):
        if head.kind != KIND or head.source_sha256 != made.source_sha256:
            continue
        known = _opened(vault, made.pseudonym, head.name)
        if (known.software, known.model_version, known.recorded_at) != (
            made.software,
            made.model_version,
            made.recorded_at,
        ):
            continue
        if known.analysis.to_json() == made.analysis.to_json():
            return known
    return None


def _opened(vault: Vault, pseudonym: str, report_id: str) -> KeptReport:
    content, recording = _parts(document_bytes(vault, report_id), report_id)
    try:
        table = json.loads(content)
        if table["schema"] != REPORT_SCHEMA or table["id"] != report_id or table["pseudonym"] != pseudonym:
            raise ValueError("it is not the report that its name says")
        found = KeptReport(
            id=report_id,
            pseudonym=pseudonym,
            recorded_at=table["recorded_at"],
            created_at=str(table["created_at"]),
            patient=from_json(PatientContext, table["patient"], "patient"),
            analysis=analysis_of(table["analysis"], recording),
            findings=None if table["findings"] is None else findings_of(table["findings"]),
            software=str(table["software"]),
            items=from_json(_Items, {"items": table["items"]}, "report").items,
            sha256=hashlib.sha256(content).hexdigest(),
            statements=statements_of(vault, pseudonym, report_id),
        )
        found.walked_at  # noqa: B018 - a moment that cannot be read is damage, too
    except (ValueError, KeyError, TypeError) as error:
        raise GaitkeeperError("report-damaged", report=report_id, detail=error) from error
    return found


def _parts(data: bytes, report_id: str) -> tuple[bytes, Recording | None]:
    """The canonical bytes, and the recording after them."""
    length = int.from_bytes(data[:8], "big")
    content, body = data[8 : 8 + length], data[8 + length :]
    if len(content) != length:
        raise GaitkeeperError("report-damaged", report=report_id, detail="it ends too early")
    return content, decode_recording(body) if body else None


def canonical_bytes(vault: Vault, report_id: str) -> bytes:
    """The bytes of a kept report as they were written: what signatures are verified over."""
    return _parts(document_bytes(vault, report_id), report_id)[0]
