"""The tests of a release's explanations, run once for its weights: from a model bundle to its certificate.

Everything is simulated and seeded, so that the same weights get the same certificate at every site, and no patient's
data is needed. The marks that decide were set before any model was tested against them; docs/explanations.md shows
what models of every kind reach.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from gaitkeeper_client.explained.curves import CurveResult, curve_result
from gaitkeeper_client.explained.mapping import differing_cells
from gaitkeeper_client.explained.maps import Explainer, heat, mean_odds
from gaitkeeper_client.explained.planted import PlantedResult, planted_result
from gaitkeeper_client.explained.walks import Sample, SimulatedWalk, sample_of, simulated_walk
from gaitkeeper_client.insight.certificate import Certificate, Check, CheckName
from gaitkeeper_client.insight.reference import has_reference
from gaitkeeper_client.insight.rescaling import rank_correlation
from gaitkeeper_shared import __version__
from gaitkeeper_shared.arrays import FloatArray
from gaitkeeper_shared.models.bundle import ModelBundle
from gaitkeeper_shared.models.registry import GaitModel
from gaitkeeper_shared.simulation.patient import Disorder

WALKS: tuple[tuple[Disorder, int], ...] = (
    ("healthy", 0),
    ("healthy", 1),
    ("parkinsonian", 0),
    ("hemiparetic", 0),
    ("ataxic", 0),
    ("antalgic", 0),
)
MARGIN_S = 6.0
"""A walk is this much longer than the model's window."""
NOISE_M = 0.01
"""White noise on every point: a centimetre, about what keypoints of a video jitter by."""

TIMES_CHANCE = 2.0
LEAST_LOCATED = 0.5
LEAST_FAITHFUL = 0.5
LEAST_STABLE = 0.6

Progress = Callable[[str], None]
_PLANTED: tuple[CheckName, ...] = ("planted", "untrained", "located")
_CURVES: tuple[CheckName, ...] = ("deletion", "insertion", "faithful")


def _check(name: CheckName, value: float, compared: float, count: int, passed: bool, *, decisive: bool = True) -> Check:
    """With plain numbers, whatever NumPy made of them."""
    return Check(name, float(value), float(compared), count, bool(passed), decisive)


@dataclass(frozen=True, slots=True)
class _Case:
    """A walk, the label that leads on it, and the heatmap for that label."""

    walk: SimulatedWalk
    sample: Sample
    label: int
    cells: FloatArray


def why_not(bundle: ModelBundle, model: GaitModel) -> str:
    """Why a release has no heatmap that could be tested; empty where it has one."""
    if not has_reference(bundle.spec.input.channels):
        return "Its inputs have no reference walk to compare with, so that it is not explained by joint and phase."
    if not model.encoder.differentiable:
        return "It reads measurements of strides, which are explained one by one and not by joint and phase."
    if bundle.spec.values:
        return "It tells a severity and raises no label, and a severity is not followed back."
    return ""


def certify(
    bundle: ModelBundle, sha256: str, *, now: datetime | None = None, on_progress: Progress | None = None
) -> Certificate:
    """Test the explanations of a released model. Takes from half a minute to some minutes, by its size."""
    model = bundle.module()
    made = (now or datetime.now(UTC)).astimezone(UTC).isoformat(timespec="seconds")
    if reason := why_not(bundle, model):
        return Certificate(sha256, "not-applicable", (), 0, made, __version__, reason)
    checks, walks = run_checks(bundle, model, on_progress or (lambda _: None))
    passed = all(check.passed for check in checks if check.decisive)
    return Certificate(sha256, "passed" if passed else "failed", checks, walks, made, __version__)


def run_checks(
    bundle: ModelBundle, model: GaitModel, on_progress: Progress, explain: Explainer = heat
) -> tuple[tuple[Check, ...], int]:
    """The checks of a way to explain, and how many walks were explained."""
    window, labels = bundle.spec.input, len(bundle.spec.labels)
    seconds = window.window_s + MARGIN_S
    on_progress("explaining simulated walks")
    cases = [
        case for kind in WALKS if (case := _case(model, bundle, simulated_walk(*kind, seconds), explain)) is not None
    ]
    untrained = ModelBundle.initial(dataclasses.replace(bundle.spec, seed=bundle.spec.seed + 1)).module()
    on_progress("planting defects")
    healthy = [case.sample for case in cases if case.walk.disorder == "healthy"]
    checks = _planted_checks(planted_result(model, untrained, healthy, labels, explain))
    on_progress("deleting and inserting")
    curves = [curve_result(model, case.sample, case.label, case.cells) for case in cases]
    checks += _curve_checks([curve for curve in curves if curve is not None])
    on_progress("noise, random weights, mapping")
    checks += _likeness_checks(model, untrained, cases, explain)
    checks.append(_mapping_check(cases, seconds))
    return tuple(checks), len(cases)


def _case(model: GaitModel, bundle: ModelBundle, walk: SimulatedWalk, explain: Explainer) -> _Case | None:
    sample = sample_of(walk, bundle.spec.input)
    if sample is None or sample.placement.mapped == 0.0:
        return None
    label = int(np.argmax([mean_odds(model, sample, index) for index in range(len(bundle.spec.labels))]))
    return _Case(walk, sample, label, explain(model, sample, label))


def _planted_checks(result: PlantedResult | None) -> list[Check]:
    if result is None:
        # Without a defect that moves the answer there is nothing that a heatmap could find: not shown, so not passed.
        return [_check(name, 0.0, 0.0, 0, False) for name in _PLANTED]
    enough = result.mass >= TIMES_CHANCE * result.chance and result.mass > result.before
    return [
        _check("planted", result.mass, result.chance, result.count, enough),
        _check("untrained", result.mass, result.untrained, result.count, result.mass > result.untrained),
        _check("located", result.located, result.chance_located, result.count, result.located >= LEAST_LOCATED),
    ]


def _curve_checks(curves: Sequence[CurveResult]) -> list[Check]:
    if not curves:
        return [_check(name, 0.0, 0.0, 0, False) for name in _CURVES]
    names = ("deletion", "random_deletion", "insertion", "random_insertion", "faithful")
    means = {name: float(np.mean([getattr(one, name) for one in curves])) for name in names}
    count = len(curves)
    deletion, insertion, faithful = means["deletion"], means["insertion"], means["faithful"]
    lower, higher = deletion < means["random_deletion"], insertion > means["random_insertion"]
    return [
        _check("deletion", deletion, means["random_deletion"], count, lower),
        _check("insertion", insertion, means["random_insertion"], count, higher),
        _check("faithful", faithful, LEAST_FAITHFUL, count, faithful >= LEAST_FAITHFUL),
    ]


def _likeness_checks(model: GaitModel, untrained: GaitModel, cases: Sequence[_Case], explain: Explainer) -> list[Check]:
    noisy, random = [], []
    for case in cases:
        shaken = sample_of(case.walk, case.sample.window, NOISE_M)
        if shaken is not None:
            noisy.append(rank_correlation(case.cells, explain(model, shaken, case.label)))
        random.append(rank_correlation(case.cells, explain(untrained, case.sample, case.label)))
    stable, like_random = float(np.mean(noisy)) if noisy else 0.0, float(np.mean(random)) if random else 1.0
    return [
        _check("stable", stable, LEAST_STABLE, len(noisy), stable >= LEAST_STABLE),
        _check("randomised", like_random, stable, len(random), like_random < stable),
    ]


def _mapping_check(cases: Sequence[_Case], seconds: float) -> Check:
    inside, area = [], []
    for case in cases:
        if case.walk.disorder == "healthy":
            continue
        cells = differing_cells(case.walk, case.sample.window.channels, case.sample.placement, seconds)
        weight = np.abs(case.cells)
        inside.append(float(weight[cells].sum() / max(weight.sum(), 1e-12)))
        area.append(float(cells.mean()))
    share, size = (float(np.mean(values)) if values else 0.0 for values in (inside, area))
    return _check("spm", share, size, len(inside), share > size, decisive=False)
