"""A camera in the corridor: the walks of patients who agreed, are known and are expected, and of nobody else.

The pose network is not even asked in hours for which the schedule names nobody. Of a walk its points are kept, in the
vault, with a draft report; frames are gone as soon as they were looked at. What was passed over is counted by reason.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from gaitkeeper_client.capture.live import SHORTEST_BOUT_S, Bout, Camera, bouts
from gaitkeeper_client.console.child import let_go_of_memory
from gaitkeeper_client.console.context import Console
from gaitkeeper_client.console.schedule import Slot, who_walks
from gaitkeeper_client.console.tally import Tally
from gaitkeeper_client.vault.cohort import parse_consent, parse_height
from gaitkeeper_client.vault.records import PatientFacts, RecordingFacts
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.trust.clock import iso

if TYPE_CHECKING:
    from gaitkeeper_client.gait.analysis import Analysis

BY = "watch"
Slots = Callable[[], tuple[Slot, ...]]


class CameraWatch:
    """One camera of a site. ``slots``: reads the schedule, anew for each bout."""

    def __init__(self, console: Console, name: str, camera: Camera, slots: Slots) -> None:
        self._console, self._name, self._camera, self._slots = console, name, camera, slots
        self.seen = Tally()

    def run(self, stop: threading.Event, *, since: datetime | None = None) -> Tally:
        """Watch until ``stop``. ``since``: the moment of the camera's first frame, by default now."""
        since = since or self._console.clock()
        for bout in bouts(self._camera.frames(stop)):
            try:
                code = self._look_at(bout, since)
            except GaitkeeperError as error:
                code = error.code
            if code:
                self.seen.skipped[code] += 1
                self._console.record("watch-skipped", BY, place=self._name, code=code)
            else:
                self.seen.kept += 1
            let_go_of_memory()
        return self.seen

    def _look_at(self, bout: Bout, since: datetime) -> str:
        """Why nothing is kept of a bout; empty where its walk is."""
        from gaitkeeper_client.pose.estimators import open_estimator
        from gaitkeeper_client.sources import analyse_camera

        start = since + timedelta(seconds=bout.start_s)
        slot = who_walks(self._slots(), self._name, start, start)
        if slot is None:
            return "nobody-scheduled"
        patient = self._patient(slot)
        # A landmarker wants rising times for as long as it lives: a fresh one for each bout.
        with open_estimator() as estimator:
            analysis = analyse_camera(bout, patient.height_m, estimator)
        end = since + timedelta(seconds=bout.end_s)
        # Who comes after may have been in the picture: then the walk is nobody's.
        if bout.duration_s < SHORTEST_BOUT_S:
            return "too-short"
        if who_walks(self._slots(), self._name, start, end) is None:
            return "between-patients"
        if analysis.recording is None:
            return analysis.reasons[0].code if analysis.reasons else "refused"
        self._keep(patient, analysis, start)
        return ""

    def _patient(self, slot: Slot) -> PatientFacts:
        """The walker with the vault's facts. Raises ``patient-unknown``, ``consent-missing``."""
        said = PatientFacts(slot.patient, height_m=parse_height(slot.height_m), consent=parse_consent(slot.consent))
        with self._console.vault() as vault:
            known = vault.find(slot.patient)
            if known is None and not slot.consent:
                raise GaitkeeperError("patient-unknown", patient=slot.patient)
            vault.check(said)
            pseudonym = known.pseudonym if known else vault.cipher.pseudonym(slot.patient)
        merged = said if known is None else known.facts.merged(said)
        given = merged.consent.given if merged.consent else known.purposes if known else frozenset()
        if "care" not in given:
            raise GaitkeeperError("consent-missing", pseudonym=pseudonym, purpose="care")
        return merged

    def _keep(self, patient: PatientFacts, analysis: Analysis, start: datetime) -> None:
        from gaitkeeper_client.insight.context import PatientContext
        from gaitkeeper_client.insight.deployed import findings_at
        from gaitkeeper_client.signing.kept import save

        assert analysis.recording is not None
        findings, now = findings_at(self._console.home, analysis), iso(self._console.clock())
        facts = RecordingFacts(str(analysis.source["sha256"]), f"camera {self._name}", now, iso(start))
        with self._console.vault() as vault:
            added = vault.add(patient, analysis.recording, facts)
            context = PatientContext(added.pseudonym, patient.age, patient.sex or "", patient.height_m)
            save(self._console.home, vault, context, analysis, findings, recorded_at=iso(start))
        self._console.record("ingested", BY, patient=added.pseudonym, recording=added.recording_id, place=self._name)
