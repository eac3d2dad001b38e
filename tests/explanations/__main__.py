"""``python -m tests.explanations``: what explanations of every kind of model are worth, into docs/explanations.md."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import numpy as np
import torch
from tests.explanations.models import INPUT, KINDS, SECONDS, trained, untrained
from tests.explanations.page import Row, write_page

from gaitkeeper_client.explained.certify import certify, run_checks
from gaitkeeper_client.explained.maps import Explainer, heat
from gaitkeeper_client.explained.planted import PlantedResult, planted_result
from gaitkeeper_client.explained.walks import Sample, sample_of, simulated_walk
from gaitkeeper_client.insight.attribution import log_odds_of
from gaitkeeper_client.insight.heatmap import heatmap
from gaitkeeper_client.insight.rescaling import relevance
from gaitkeeper_shared.arrays import FloatArray
from gaitkeeper_shared.models.bundle import ModelBundle
from gaitkeeper_shared.models.registry import GaitModel

PAGE = Path(__file__).resolve().parents[2] / "docs" / "explanations.md"


def main() -> None:
    """Train, explain, test, write."""
    torch.set_num_threads(1)
    rows: list[Row] = []
    controls: list[Row] = []
    planted: dict[str, dict[str, PlantedResult | None]] = {}
    for kind in KINDS:
        say(f"{kind}: training")
        bundle, right = trained(kind)
        say(f"{kind}: {right:.0%} of held-out windows; testing")
        checks, walks = run_checks(bundle, bundle.module(), say)
        rows.append(Row(f"{kind}, trained", right, checks, walks))
        planted[kind] = {"contributions": on_planted(bundle, heat), "rescaled": on_planted(bundle, rescaled)}
        if kind == "tcn":
            for name, explain in (("contributions in random order", shuffled), ("the input alone", of_the_input)):
                bad, count = run_checks(bundle, bundle.module(), say, explain)
                controls.append(Row(f"{kind}, trained; {name}", right, bad, count))
    say("a model with random weights")
    blank = untrained("tcn")
    controls.append(Row("tcn, random weights", None, certify(blank, "").checks, walks))
    write_page(PAGE, [*rows, *controls], planted)
    say(str(PAGE))


def say(text: str) -> None:
    """Progress."""
    print(text, file=sys.stderr, flush=True)


def on_planted(bundle: ModelBundle, explain: Explainer) -> PlantedResult | None:
    """The planted defects alone, for one way to explain."""
    samples = [sample_of(simulated_walk("healthy", seed, SECONDS), INPUT) for seed in (0, 1)]
    blank = ModelBundle.initial(dataclasses.replace(bundle.spec, seed=bundle.spec.seed + 1)).module()
    known = [sample for sample in samples if sample is not None]
    return planted_result(bundle.module(), blank, known, len(bundle.spec.labels), explain)


def rescaled(model: GaitModel, sample: Sample, label: int) -> FloatArray:
    """The heatmap after temporal saliency rescaling."""
    values = relevance(log_odds_of(model, label), sample.windows, sample.reference, sample.placement)
    return np.array([row.contribution for row in heatmap(values, sample.placement)])


def shuffled(model: GaitModel, sample: Sample, label: int) -> FloatArray:
    """A heatmap whose cells lie where chance put them."""
    cells = heat(model, sample, label)
    return np.random.default_rng(int(abs(cells.sum()) * 1e6)).permutation(cells.ravel()).reshape(cells.shape)


def of_the_input(_: GaitModel, sample: Sample, __: int) -> FloatArray:
    """What somebody would say who knows the walk and not the model: how far it lies from the reference."""
    difference = np.abs(sample.windows - sample.reference).astype(np.float64)
    return np.array([row.contribution for row in heatmap(difference, sample.placement)])


if __name__ == "__main__":
    main()
