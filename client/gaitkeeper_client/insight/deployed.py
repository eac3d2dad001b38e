"""A released model asked about one walk."""

from __future__ import annotations

from gaitkeeper_client.gait.analysis import Analysis
from gaitkeeper_client.insight.findings import Findings, StudyFacts
from gaitkeeper_client.insight.inference import card_of, judge
from gaitkeeper_shared.models.bundle import ModelBundle
from gaitkeeper_shared.study import Study
from gaitkeeper_shared.trust.release import Manifest

NO_MODEL = Findings("no_model")
"""For a site at which no release was ever activated."""


def released_findings(analysis: Analysis, manifest: Manifest, model: bytes, study: Study | None) -> Findings:
    """What a release, whose signatures and hash the caller has checked, says about a walk.

    ``study``: the one that the model comes from, None where the site was never offered it. Raises ``model-damaged``.
    """
    bundle = ModelBundle.from_bytes(model)
    card = card_of(
        bundle,
        str(manifest.version),
        sha256=manifest.model_sha256,
        created_at=manifest.created_at,
        notes=manifest.notes,
        study=_study_facts(manifest.study, study),
    )
    return judge(analysis, bundle, card)


def _study_facts(name: str, study: Study | None) -> StudyFacts:
    if study is None:
        return StudyFacts(name)
    return StudyFacts(
        name=study.name,
        title=study.title,
        epsilon=study.privacy.epsilon,
        delta=study.privacy.delta,
        fewest_sites=study.federation.quorum,
    )
