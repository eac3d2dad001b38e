"""A released model asked about one walk."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gaitkeeper_client.gait.analysis import Analysis
from gaitkeeper_client.insight.findings import Findings, StudyFacts
from gaitkeeper_client.insight.inference import card_of, judge
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.models.bundle import ModelBundle
from gaitkeeper_shared.study import Study
from gaitkeeper_shared.trust.release import Manifest

if TYPE_CHECKING:
    from gaitkeeper_client.vault.home import SiteHome

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


def findings_at(home: SiteHome, analysis: Analysis) -> Findings:
    """What a site's active release says. Raises ``release-damaged`` or ``signature-*``: then it is not asked."""
    from gaitkeeper_client.consortium.releases import active_release
    from gaitkeeper_client.consortium.studies import find_offer

    release = active_release(home)
    if release is None:
        return NO_MODEL
    try:
        study = find_offer(home, release.manifest.study_hash).study
    except GaitkeeperError:  # a model may come from a study that this site was never offered
        study = None
    return released_findings(analysis, release.manifest, release.model, study)


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
