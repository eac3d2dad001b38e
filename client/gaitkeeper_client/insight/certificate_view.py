"""A release's certificate in words, for the report, the terminal and other systems."""

from __future__ import annotations

from dataclasses import dataclass

from gaitkeeper_client.insight.certificate import Certificate, sentence
from gaitkeeper_client.insight.findings import Findings
from gaitkeeper_client.language.texts import say


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
        return CertificateView(say("certificate.not_tested"), True)
    if certificate.status == "not-applicable":
        return CertificateView(say("certificate.not_applicable", reason=certificate.reason), False)
    checks = tuple((sentence(check), check.passed) for check in certificate.checks)
    decisive = sum(check.decisive for check in certificate.checks)
    if certificate.status == "passed":
        verdict = say(
            "certificate.passed", decisive=decisive, walks=certificate.walks, made_at=certificate.made_at[:10]
        )
        return CertificateView(verdict, False, checks)
    verdict = say("certificate.failed", failed=len(certificate.failed), decisive=decisive)
    return CertificateView(verdict, True, checks)
