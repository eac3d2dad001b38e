"""A released model asked about one walk."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from gaitkeeper_client.gait.analysis import Analysis
from gaitkeeper_client.insight.certificates import digest_of, read_certificate
from gaitkeeper_client.insight.findings import Findings, StudyFacts
from gaitkeeper_client.insight.inference import card_of, judge
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.models.bundle import ModelBundle
from gaitkeeper_shared.study import Study
from gaitkeeper_shared.trust.release import Manifest

if TYPE_CHECKING:
    from gaitkeeper_client.vault.home import SiteHome
    from gaitkeeper_client.vault.keys import SiteKey
    from gaitkeeper_client.vault.personal import PersonalHead

NO_MODEL = Findings("no_model")
"""For a site at which no release was ever activated."""


def facts_for_audit(analysis: Analysis, findings: Findings) -> dict[str, str]:
    """What the audit log is told of a walk about which the deployed model was asked: nothing that was measured."""
    return {
        "source_sha256": str(analysis.source.get("sha256", "")),
        "status": analysis.status,
        "findings": findings.status,
        "model_version": findings.model.version if findings.model else "none",
    }


@dataclass(frozen=True, slots=True)
class DeployedModel:
    """The model that a site runs: the release's ``version``, and its weights with the site's own head in them."""

    version: int
    bundle: ModelBundle


def released_findings(
    analysis: Analysis, manifest: Manifest, model: bytes, study: Study | None, head: PersonalHead | None = None
) -> Findings:
    """What a release, whose signatures and hash the caller has checked, says about a walk.

    ``study``: the one that the model comes from, None where the site was never offered it. ``head``: this site's own,
    in the place of the release's. Raises ``model-damaged``.
    """
    bundle = _asked(model, head)
    card = card_of(
        bundle,
        str(manifest.version),
        sha256=manifest.model_sha256,
        created_at=manifest.created_at,
        notes=manifest.notes,
        study=_study_facts(manifest.study, study),
        personal_people=0 if head is None else len(head.facts.people),
        validation=manifest.validation,
    )
    return judge(analysis, bundle, card)


def findings_at(home: SiteHome, analysis: Analysis, key: SiteKey | None = None) -> Findings:
    """What a site's active release says, with the site's own head where it has one.

    ``key``: the site's, opened; without it, it is opened where a head is there. Raises ``release-damaged`` or
    ``signature-*``: then it is not asked.
    """
    from gaitkeeper_client.consortium.releases import active_release
    from gaitkeeper_client.consortium.studies import find_offer

    release = active_release(home)
    if release is None:
        return NO_MODEL
    try:
        study = find_offer(home, release.manifest.study_hash).study
    except GaitkeeperError:  # a model may come from a study that this site was never offered
        study = None
    head = _own_head(home, key, release.manifest.model_sha256)
    found = released_findings(analysis, release.manifest, release.model, study, head)
    if not found.explanations:
        return found
    return replace(found, certificate=read_certificate(home, digest_of(_asked(release.model, head))))


def model_at(home: SiteHome, key: SiteKey | None = None) -> DeployedModel | None:
    """What a site's walks are asked of; None where no release was ever activated. Raises as :func:`findings_at`."""
    from gaitkeeper_client.consortium.releases import active_release

    release = active_release(home)
    if release is None:
        return None
    head = _own_head(home, key, release.manifest.model_sha256)
    return DeployedModel(release.version, _asked(release.model, head))


def _asked(model: bytes, head: PersonalHead | None) -> ModelBundle:
    bundle = ModelBundle.from_bytes(model)
    return bundle if head is None else ModelBundle(bundle.spec, {**bundle.weights, **head.weights})


def _own_head(home: SiteHome, key: SiteKey | None, release_sha256: str) -> PersonalHead | None:
    from gaitkeeper_client.vault.keys import unlock
    from gaitkeeper_client.vault.personal import has_head, usable_head

    if not has_head(home):
        return None
    return usable_head(home, key or unlock(home), release_sha256)


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
