"""What becomes of a queued recording: the same analysis as ``gaitkeeper site analyze``, kept in the vault."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from gaitkeeper_client.console.context import Console
from gaitkeeper_client.console.intake import check_patient
from gaitkeeper_client.console.jobs import Job
from gaitkeeper_client.console.uploads import UploadFacts
from gaitkeeper_client.language.errors import told
from gaitkeeper_client.language.texts import say
from gaitkeeper_shared.errors import EXIT_BAD_INPUT, GaitkeeperError
from gaitkeeper_shared.trust.clock import iso

if TYPE_CHECKING:
    from gaitkeeper_client.gait.analysis import Analysis
    from gaitkeeper_client.insight.context import PatientContext
    from gaitkeeper_client.insight.findings import Findings

PASSING = ("disk-full", "vault-busy", "console-busy")
"""Errors of the machine, not of the recording: it is tried again."""
PAUSE_S = 10.0
_TOLD_EVERY_S = 0.5
BY = "console"


def process(console: Console, job: Job) -> None:
    """Analyse a job that was taken, keep its report, end it. A kill at any line lets the next process do it again.

    A recording that cannot be read is refused, and its bytes go; whatever else goes wrong ends it as failed, with its
    bytes kept for another try; what may pass (:data:`PASSING`) queues it again.
    """
    try:
        facts = console.uploads.facts(job)
        with console.vault() as vault:
            check_patient(console, vault, facts.patient)
        with console.uploads.opened(job) as path:
            try:
                analysis = _analysed(console, job, facts, path)
            except GaitkeeperError as error:
                if error.code in PASSING or error.exit_status != EXIT_BAD_INPUT:
                    raise
                message = told(error).replace(str(path), say("details.the_recording"))
                console.queue.conclude(job.id, "refused", None, error.code, message)
                console.record("analysis-failed", BY, patient=job.pseudonym, job=job.id, code=error.code)
                _let_go(console, job, kept=False)
                return
        report = _keep(console, job, facts, analysis, _found(console, job, analysis))
    except GaitkeeperError as error:
        if error.code in PASSING:
            console.queue.put_back(job, error)
            time.sleep(PAUSE_S)
            return
        console.queue.end(job.id, "failed", error=error)
        console.record("analysis-failed", BY, patient=job.pseudonym, job=job.id, code=error.code)
        return
    except Exception as error:
        # One recording that nobody foresaw must not end the worker, and with it the others' turn.
        console.queue.end(job.id, "failed", error=GaitkeeperError("console-job-unexpected", detail=_where(error)))
        return
    _conclude(console, job, analysis, report)


def _where(error: Exception) -> str:
    """Kind and place of an error; never its own words, which may hold what stood in the recording."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} in {Path(frame.filename).name}, line {frame.lineno}"


def _analysed(console: Console, job: Job, facts: UploadFacts, path: Path) -> Analysis:
    from gaitkeeper_client.lab.options import ReadOptions
    from gaitkeeper_client.sources import analyse_file
    from gaitkeeper_client.vault.cohort import AID

    height = _patient(console, job, facts).height_m
    # Of this walk alone: what the patient walked with before says nothing of today.
    options = ReadOptions(aid=facts.patient.extra.get(AID))
    return analyse_file(path, height_m=height, on_progress=_teller(console, job), options=options)


def _found(console: Console, job: Job, analysis: Analysis) -> Findings:
    """What the deployed model says. A release that is damaged fails the job: it says nothing of the recording."""
    from gaitkeeper_client.insight.deployed import facts_for_audit, findings_at

    findings = findings_at(console.home, analysis)
    console.record("analysed", BY, patient=job.pseudonym, **facts_for_audit(analysis, findings))
    return findings


def _teller(console: Console, job: Job) -> Callable[[int, int], None]:
    told = [0.0]

    def tell(done: int, total: int) -> None:
        if time.monotonic() - told[0] > _TOLD_EVERY_S:
            told[0] = time.monotonic()
            console.queue.progress(job.id, done, total)

    return tell


def _patient(console: Console, job: Job, facts: UploadFacts) -> PatientContext:
    """What the upload says of the patient, over what the vault knows."""
    from gaitkeeper_client.insight.context import PatientContext

    with console.vault() as vault:
        known = vault.find(facts.patient.patient_id)
    merged = facts.patient if known is None else known.facts.merged(facts.patient)
    return PatientContext(job.pseudonym, merged.age, merged.sex or "", merged.height_m)


def _keep(console: Console, job: Job, facts: UploadFacts, analysis: Analysis, findings: Findings) -> str | None:
    """Recording and report into the vault; the report's id. A refused walk of a stranger leaves nothing here."""
    from gaitkeeper_client.signing.kept import save
    from gaitkeeper_client.vault.records import RecordingFacts

    who = _patient(console, job, facts)
    digest = str(analysis.source["sha256"])
    with console.vault() as vault:
        # Consent may have been withdrawn, or the patient erased, while the walk was analysed.
        console.uploads.facts(job)
        check_patient(console, vault, facts.patient)
        if analysis.recording is not None:
            came = RecordingFacts(digest, facts.file_name, iso(console.clock()), facts.recorded_at, facts.patient.extra)
            added = vault.add(facts.patient, analysis.recording, came)
            if added.new:
                console.record("ingested", BY, patient=added.pseudonym, recording=added.recording_id)
        elif vault.find(facts.patient.patient_id) is None:
            return None
        moment, now = facts.recorded_at, console.clock()
        saved = save(console.home, vault, who, analysis, findings, recorded_at=moment, now=now)
    return saved.report.id


def _conclude(console: Console, job: Job, analysis: Analysis, report: str | None) -> None:
    if analysis.status == "analysed":
        console.queue.end(job.id, "done", report=report)
    else:
        words = " ".join(reason.message for reason in analysis.reasons)
        code = analysis.reasons[0].code if analysis.reasons else "refused"
        console.queue.conclude(job.id, "refused", report, code, words)
    _let_go(console, job, kept=report is not None)


def _let_go(console: Console, job: Job, *, kept: bool) -> None:
    """The raw recording goes, unless the site's policy keeps raw videos and it belongs to a known patient."""
    from gaitkeeper_client.vault.retention import retention_policy

    if kept and retention_policy(console.home).raw_video == "keep":
        return
    console.uploads.remove(job)
    console.record("raw-video-deleted", BY, patient=job.pseudonym, job=job.id)
