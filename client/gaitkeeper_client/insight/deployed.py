"""The site's active release asked about one walk."""

from __future__ import annotations

from gaitkeeper_client.agent.releases import active_release
from gaitkeeper_client.agent.studies import find_offer
from gaitkeeper_client.gait.analysis import Analysis
from gaitkeeper_client.insight.findings import Findings, StudyFacts
from gaitkeeper_client.insight.inference import card_of, judge
from gaitkeeper_client.vault.home import SiteHome
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.models.bundle import ModelBundle


def deployed_findings(home: SiteHome, analysis: Analysis) -> Findings:
    """What the deployed model says; status ``no_model`` where none was ever activated.

    Raises ``release-damaged``, ``signature-*`` or ``model-damaged``: a release that cannot be trusted is not asked.
    """
    release = active_release(home)
    if release is None:
        return Findings("no_model")
    manifest = release.manifest
    bundle = ModelBundle.from_bytes(release.model)
    card = card_of(
        bundle,
        str(release.version),
        sha256=manifest.model_sha256,
        created_at=manifest.created_at,
        notes=manifest.notes,
        study=_study_facts(home, manifest.study, manifest.study_hash),
    )
    return judge(analysis, bundle, card)


def _study_facts(home: SiteHome, name: str, study_hash: str) -> StudyFacts:
    """What the site knows of the study; its name alone where the study was never offered here."""
    try:
        study = find_offer(home, study_hash).study
    except GaitkeeperError:
        return StudyFacts(name)
    return StudyFacts(
        name=study.name,
        title=study.title,
        epsilon=study.privacy.epsilon,
        delta=study.privacy.delta,
        fewest_sites=study.federation.quorum,
    )
