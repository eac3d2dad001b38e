"""A release's certificate in words, for the report, the terminal and other systems."""

from __future__ import annotations

from dataclasses import dataclass

from gaitkeeper_client.insight.certificate import Certificate, sentence
from gaitkeeper_client.insight.findings import Findings


@dataclass(frozen=True, slots=True)
class CertificateView:
    """``verdict``: one sentence; ``warning``: whether it has to stand out; ``checks``: each in words, and passed."""

    verdict: str
    warning: bool
    checks: tuple[tuple[str, bool], ...] = ()


def certificate_view(findings: Findings) -> CertificateView | None:
    """What to say about the explanations of the release that spoke; None where it explains nothing."""
    if not findings.explanations:
        return None
    return view_of(findings.certificate)


def view_of(certificate: Certificate | None) -> CertificateView:
    """A certificate in words; None says that nothing was tested yet."""
    if certificate is None:
        return CertificateView(
            "The explanations of this release were not tested at this site yet: gaitkeeper site certify.", True
        )
    if certificate.status == "not-applicable":
        return CertificateView(f"The tests of explanations do not apply to this release. {certificate.reason}", False)
    checks = tuple((sentence(check), check.passed) for check in certificate.checks)
    decisive = sum(check.decisive for check in certificate.checks)
    if certificate.status == "passed":
        verdict = (
            f"The explanations of this release passed all {decisive} tests on simulated walks ({certificate.walks} "
            f"walks, {certificate.made_at[:10]}). That is no proof for this patient's walk."
        )
        return CertificateView(verdict, False, checks)
    verdict = (
        f"The explanations of this release FAILED {len(certificate.failed)} of {decisive} tests: do not rely on its "
        "heatmaps. The measurements, and the model's scores, are not touched by this."
    )
    return CertificateView(verdict, True, checks)
