"""What the deployed model says about one walk, as typed values: probabilities, why, and what they are worth."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from gaitkeeper_client.gait.analysis import Reason
from gaitkeeper_client.insight.certificate import Certificate
from gaitkeeper_shared.trust.release import Validation
from gaitkeeper_shared.typed_json import from_json

PHASE_BINS = 20
"""Columns of a heatmap: the gait cycle, foot strike to foot strike of one foot, in steps of 5 %."""

Status = Literal["decided", "undecided", "withheld", "no_model"]
Spread = Literal["windows", "strides", "none"]
"""What the range of a probability is: the lowest and highest of any window; the 95 % interval over drawings of the
walk's strides; or none, as one window alone tells nothing of how sure it is."""


@dataclass(frozen=True, slots=True)
class LabelProbability:
    """The mean probability of one label over the walk's windows, and the range that :attr:`Findings.spread` names.

    ``lowest``, ``highest``: None where the walk gives no range.
    """

    label: str
    probability: float
    lowest: float | None
    highest: float | None


@dataclass(frozen=True, slots=True)
class SeverityEstimate:
    """How severe a model finds a walk: ``value``, on a scale from ``scale_low`` to ``scale_high``, and the ``grade``
    nearest to it. ``lowest``, ``highest``: the range that :attr:`Findings.spread` names; None where there is none."""

    value: float
    grade: str
    scale_low: float
    scale_high: float
    lowest: float | None
    highest: float | None


@dataclass(frozen=True, slots=True)
class MeanCurve:
    """Mean over the gait cycles of the feature channel that contributes most in a row of the heatmap.

    ``walk``, ``reference``: (:data:`PHASE_BINS`,) of the patient and of the reference walk, in ``unit``; None where
    nothing is known.
    """

    channel: str
    unit: str
    walk: tuple[float | None, ...]
    reference: tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class HeatmapRow:
    """One joint of one side over the gait cycle (``side`` is empty for the trunk, which is laid on the left cycle).

    ``contribution``: (:data:`PHASE_BINS`,) log-odds that one gait cycle adds to the label in each phase; positive
    speaks for it. ``standard_error``: over cycles, None where fewer than two cycles were seen in that phase.
    ``curve``: what the contributions are laid over; None in reports that were made before it was kept.
    """

    joint: str
    side: str
    contribution: tuple[float, ...]
    standard_error: tuple[float | None, ...]
    curve: MeanCurve | None = None


@dataclass(frozen=True, slots=True)
class Highlight:
    """A stretch of the heatmap that stands out, and how the patient differs there from the reference walk.

    ``share``: of all absolute contributions. ``deviation``: patient less reference, mean over the stretch, in the
    ``unit`` of the feature channel ``channel`` that contributes most there. ``ci95``: 95 % interval of the contribution
    over the gait cycles, None where fewer than three were seen there.
    """

    joint: str
    side: str
    from_percent: float
    to_percent: float
    contribution: float
    share: float
    channel: str
    deviation: float
    unit: str
    ci95: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class Rescaling:
    """The map after temporal saliency rescaling (arXiv:2010.13924), which has no sign and does not add up.

    ``shares``: of all relevance, in the rows and columns of the heatmap. ``agreement``: rank correlation with the size
    of the contributions. ``joint`` to ``to_percent``: the cell with most relevance.
    """

    shares: tuple[tuple[float, ...], ...]
    agreement: float
    joint: str
    side: str
    from_percent: float
    to_percent: float


@dataclass(frozen=True, slots=True)
class DeletionCheck:
    """Does the model care for what the heatmap marks?

    ``marked_drop``: fall of the label's log-odds when the tenth of the cells that speaks most for it is replaced by
    the reference walk. ``random_drop``: the same for as many cells drawn at random, mean of ``draws``.
    """

    marked_drop: float
    random_drop: float
    draws: int


@dataclass(frozen=True, slots=True)
class Explanation:
    """Integrated gradients for one label, on joint x gait phase.

    ``log_odds``: of the label, mean over windows; ``reference_log_odds``: the same for the reference walk.
    ``residual``: part of their difference that the contributions do not add up to (0 is complete, 1 is worthless).
    ``mapped``: share of the samples that lie in a complete gait cycle; only those are explained.
    """

    label: str
    rows: tuple[HeatmapRow, ...]
    highlights: tuple[Highlight, ...]
    log_odds: float
    reference_log_odds: float
    residual: float
    mapped: float
    cycles: int
    deletion: DeletionCheck | None
    rescaled: Rescaling | None = None


@dataclass(frozen=True, slots=True)
class MeasureContribution:
    """What one measurement that the model's head reads adds to a label.

    ``name`` is the model's own. ``value``, ``ci95``, ``reference``: in ``unit``, of this walk (mean over windows; None
    where unknown), its 95 % interval over drawings of the strides (None where they cannot be drawn), and of what it is
    compared with. ``contribution``: log-odds; positive speaks for the label. ``share``: of all absolute contributions.
    ``limited``: the value lies at an end of the model's scale or beyond. ``seen``: share of the samples in which the
    channels that it is measured from are known.
    """

    name: str
    unit: str
    value: float | None
    ci95: tuple[float, float] | None
    reference: float
    contribution: float
    share: float
    limited: bool
    seen: float


@dataclass(frozen=True, slots=True)
class MeasuredExplanation:
    """A label's log-odds by the measurements that the model reads of a walk; strongest first.

    ``reference``: what values are compared with, the reference ``walk`` or the middle of the model's own ``scale``.
    ``linear``: whether the log-odds are a weighted sum of the features: a contribution is then weight times difference.
    ``residual``: part of the difference of log-odds that the contributions do not add up to.
    """

    label: str
    reference: Literal["walk", "scale"]
    linear: bool
    log_odds: float
    reference_log_odds: float
    residual: float
    contributions: tuple[MeasureContribution, ...]


@dataclass(frozen=True, slots=True)
class StudyFacts:
    """What a site knows of the study that a model comes from; None for what it was not told.

    ``epsilon``, ``delta``: privacy of each patient over the whole study. ``fewest_sites``: that every round needed.
    """

    name: str
    title: str = ""
    epsilon: float | None = None
    delta: float | None = None
    fewest_sites: int | None = None


@dataclass(frozen=True, slots=True)
class ModelCard:
    """Which model spoke: the ``version`` and ``sha256`` of its release, and the study that it was trained in.

    ``calibrated``: whether its scores were made probabilities in the study. ``certain_from``: least probability at
    which the study lets a label be proposed. ``values``: what the labels are worth, of a model that tells a severity.
    ``personal_people``: patients of this site to whom its own head was fitted; 0 for the release's head.
    ``validation``: on whom the release was validated, as its signed manifest says; None where it does not.
    """

    version: str
    kind: str
    study_hash: str
    labels: tuple[str, ...]
    channels: tuple[str, ...]
    window_s: float
    rate_hz: float
    sha256: str = ""
    created_at: str = ""
    notes: str = ""
    study: StudyFacts | None = None
    calibrated: bool = False
    certain_from: float = 0.0
    values: tuple[float, ...] = ()
    personal_people: int = 0
    validation: Validation | None = None


@dataclass(frozen=True, slots=True)
class Findings:
    """The model's part of a report.

    ``decided``: ``leading`` is what it says, or ``severity``, of a model that tells how severe a walk is.
    ``undecided``: the walk's windows disagree, no label stands out or is certain enough, or a severity's range is too
    wide; the numbers are shown, no label is named. ``withheld``: too little to judge at all. ``no_model``: the site has
    no active release.

    ``agreement``: share of the windows that have the leading label on top, or of the drawings of strides, as ``spread``
    says; None for one window. ``explanations``: by joint and gait phase, where the model can be followed back to
    samples; ``measured``: by the measurements that it reads, where it reads such. ``unexplained``: why neither.
    """

    status: Status
    model: ModelCard | None = None
    windows: int = 0
    probabilities: tuple[LabelProbability, ...] = ()
    leading: str | None = None
    agreement: float | None = None
    reasons: tuple[Reason, ...] = ()
    explanations: tuple[Explanation, ...] = ()
    limits: tuple[str, ...] = ()
    spread: Spread = "windows"
    measured: tuple[MeasuredExplanation, ...] = ()
    unexplained: Reason | None = None
    severity: SeverityEstimate | None = None
    certificate: Certificate | None = None

    def to_json(self) -> dict[str, Any]:
        """JSON values only; key ``findings`` of ``gaitkeeper site analyze --json``."""
        table: dict[str, Any] = _plain(dataclasses.asdict(self))
        return table


def findings_of(table: Mapping[str, Any]) -> Findings:
    """The value behind :meth:`Findings.to_json`. A ``ValueError`` says what is wrong with anything else."""
    return from_json(Findings, dict(table), "findings")


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return round(value, 6) if isinstance(value, float) else value
