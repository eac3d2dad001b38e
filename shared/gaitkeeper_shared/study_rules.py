"""What a study's values must fulfil beside their types: the rules of each table, with the reason of each."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from gaitkeeper_shared.study import LONGEST_WINDOW_S, STUDY_SCHEMA, Study
from gaitkeeper_shared.study_federation import federation_rules
from gaitkeeper_shared.study_table import require

Rule = tuple[bool, str, Any, str]
"""Whether it holds, the key, its value, and why it cannot be used."""

MOST_GRADES = 16
PARTS = ("encoder", "adapters", "head")
"""What ``model.trained`` may list, beside ``all``."""
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")


def check(study: Study) -> None:
    """Raises ``study-bad-value`` for the first rule that does not hold."""
    for rules in (_task_rules, _input_rules, _model_rules, _training_rules, _strategy_rules, _privacy_rules):
        for holds, key, value, why in rules(study):
            require(holds, key, value, why)
    for holds, key, value, why in (*_evaluation_rules(study), *_secure_rules(study), *federation_rules(study)):
        require(holds, key, value, why)


def _task_rules(study: Study) -> Iterator[Rule]:
    task = study.task
    yield study.schema == STUDY_SCHEMA, "schema", study.schema, f"this version understands {STUDY_SCHEMA!r}"
    words = "use lower-case letters, digits and hyphens, at most 63"
    yield bool(_NAME.fullmatch(study.name)), "name", study.name, words
    labels = list(task.labels)
    yield len(labels) >= 2, "task.labels", labels, "at least two labels are needed"
    yield len(set(labels)) == len(labels), "task.labels", labels, "a label stands twice"
    for label, target in task.map.items():
        yield target in task.labels, f"task.map.{label}", target, "it is not one of task.labels"
    values = list(task.values)
    if task.kind == "severity":
        rising = len(values) == len(labels) and all(low < high for low, high in pairwise(values))
        fits = rising and all(math.isfinite(value) for value in values) and len(values) <= MOST_GRADES
        why = f"a severity needs one number for each label, rising, at most {MOST_GRADES}"
        yield fits, "task.values", values, why
        yield task.certain_from == 0, "task.certain_from", task.certain_from, "a severity has no probability"
    else:
        yield not values, "task.values", values, "only a task of kind 'severity' has values"
        why = "it must be 0, or lie above chance and below 1"
        least = task.certain_from
        yield least == 0 or 1 / len(labels) < least < 1, "task.certain_from", least, why


def _input_rules(study: Study) -> Iterator[Rule]:
    from gaitkeeper_shared.models.channels import CHANNEL_BY_NAME

    window = study.input
    yield len(window.channels) >= 1, "input.channels", list(window.channels), "at least one channel is needed"
    yield 10 <= window.rate_hz <= 200, "input.rate_hz", window.rate_hz, "it must lie between 10 and 200 Hz"
    lengths = f"it must lie between 0.5 and {LONGEST_WINDOW_S:g} s"
    yield 0.5 <= window.window_s <= LONGEST_WINDOW_S, "input.window_s", window.window_s, lengths
    yield 0 < window.hop_s <= window.window_s, "input.hop_s", window.hop_s, "it must lie between 0 and window_s"
    yield 1 <= window.max_windows <= 256, "input.max_windows", window.max_windows, "it must lie between 1 and 256"
    for name in window.channels:
        yield name in CHANNEL_BY_NAME, "input.channels", name, "there is no such channel"


def _model_rules(study: Study) -> Iterator[Rule]:
    model = study.model
    yield 1 <= model.hidden <= 1024, "model.hidden", model.hidden, "it must lie between 1 and 1024"
    yield 1 <= model.layers <= 8, "model.layers", model.layers, "it must lie between 1 and 8"
    yield 0 <= model.features <= 256, "model.features", model.features, "it must lie between 0 and 256"
    parts = list(model.trained)
    known = parts == ["all"] or (bool(parts) and set(parts) <= set(PARTS) and len(set(parts)) == len(parts))
    yield known, "model.trained", parts, f"it must be 'all', or list some of {', '.join(PARTS)}"
    yield 0 <= model.adapter_rank <= 64, "model.adapter_rank", model.adapter_rank, "it must lie between 0 and 64"
    named = "adapters" in parts
    why = "adapters need model.adapter_rank above 0, and model.adapter_rank needs 'adapters' in model.trained"
    yield named == (model.adapter_rank > 0), "model.adapter_rank", model.adapter_rank, why
    weightless = model.kind in ("symmetry", "strides")
    why = f"a model of kind {model.kind!r} has no weights before its head that they could correct"
    yield not (named and weightless), "model.trained", parts, why
    yield from _channel_rules(study)


def _channel_rules(study: Study) -> Iterator[Rule]:
    """What the encoders of fixed clinical numbers compute, they compute of certain channels alone."""
    from gaitkeeper_shared.models.channels import FORCE_CHANNELS

    model, forces = study.model, [channel.name for channel in FORCE_CHANNELS]
    used = [name for name in study.input.channels if name in forces]
    why = f"a model of kind 'strides' needs {' and '.join(forces)} among input.channels"
    yield model.kind != "strides" or len(set(used)) == len(forces), "model.kind", model.kind, why
    why = f"left-right symmetry is of joint angles and points, and input.channels has {', '.join(used)}"
    yield model.kind != "symmetry" or not used, "model.kind", model.kind, why
    yield model.branch != "symmetry" or not used, "model.branch", model.branch, why


def _training_rules(study: Study) -> Iterator[Rule]:
    training, labels = study.training, study.task.labels
    yield 1 <= training.rounds <= 10_000, "training.rounds", training.rounds, "it must lie between 1 and 10000"
    steps = training.local_steps
    yield 1 <= steps <= 1_000, "training.local_steps", steps, "it must lie between 1 and 1000"
    yield 0 < training.learning_rate <= 100, "training.learning_rate", training.learning_rate, "it must be above 0"
    yield 0 <= training.momentum < 1, "training.momentum", training.momentum, "it must lie in [0, 1)"
    yield 0 <= training.average <= 1, "training.average", training.average, "it must lie in [0, 1]"
    weights = training.class_weights
    fit = len(weights) in (0, len(labels)) and all(0 < weight <= 1 for weight in weights)
    why = "one number above 0 and at most 1 is needed for each label"
    yield fit, "training.class_weights", list(weights), why
    count = training.calibration
    why = "it must be at least 0 and leave at least one of training.rounds to train in"
    yield 0 <= count < training.rounds, "training.calibration", count, why
    trains_head = study.model.trained == ("all",) or "head" in study.model.trained
    why = "what is calibrated is the head, which model.trained does not list"
    yield count == 0 or trains_head, "training.calibration", count, why
    why = "a severity has no probabilities that could be calibrated"
    yield count == 0 or study.task.kind == "classification", "training.calibration", count, why
    yield 0 < training.calibration_rate <= 100, "training.calibration_rate", training.calibration_rate, "at most 100"


def _strategy_rules(study: Study) -> Iterator[Rule]:
    training = study.training
    fits = 0 <= training.proximal < math.inf and (training.proximal == 0) == (training.strategy != "fedprox")
    why = "it must be above 0 with training.strategy = 'fedprox', and 0 with any other"
    yield fits, "training.proximal", training.proximal, why
    fits = training.proximal == 0 or training.proximal * training.learning_rate < 1
    why = "times training.learning_rate it must be below 1, or a step overshoots the model that it is pulled to"
    yield fits, "training.proximal", training.proximal, why
    rate, second, tau = training.server_learning_rate, training.second_momentum, training.adaptivity
    yield 0 < rate <= 100, "training.server_learning_rate", rate, "it must be above 0 and at most 100"
    yield 0 <= second < 1, "training.second_momentum", second, "it must lie in [0, 1)"
    yield 0 < tau <= 1, "training.adaptivity", tau, "it must be above 0 and at most 1"


def _privacy_rules(study: Study) -> Iterator[Rule]:
    privacy = study.privacy
    yield privacy.epsilon > 0, "privacy.epsilon", privacy.epsilon, "privacy needs an epsilon above 0"
    why = (
        "it must lie above 0 and be at most 1 / privacy.patients_per_site: delta is the chance that a patient is not "
        "protected at all, so that it should be well below that"
    )
    fits = 0 < privacy.delta < 1 and privacy.delta * privacy.patients_per_site <= 1
    yield fits, "privacy.delta", privacy.delta, why
    yield 0 < privacy.clip_norm < math.inf, "privacy.clip_norm", privacy.clip_norm, "it must be above 0 and finite"
    yield 0 < privacy.sample_rate <= 1, "privacy.sample_rate", privacy.sample_rate, "it must lie in (0, 1]"
    nominal = privacy.patients_per_site
    yield nominal >= 1, "privacy.patients_per_site", nominal, "it must be at least 1"


def _evaluation_rules(study: Study) -> Iterator[Rule]:
    evaluation = study.evaluation
    yield 0 <= evaluation.holdout < 1, "evaluation.holdout", evaluation.holdout, "it must lie in [0, 1)"
    yield evaluation.epsilon > 0, "evaluation.epsilon", evaluation.epsilon, "it must be above 0"
    most = study.privacy.epsilon
    why = f"it must be at most privacy.epsilon = {most:g}: patients kept out are protected as the others"
    yield evaluation.holdout == 0 or evaluation.epsilon <= most, "evaluation.epsilon", evaluation.epsilon, why
    yield evaluation.every >= 1, "evaluation.every", evaluation.every, "it must be at least 1"


def _secure_rules(study: Study) -> list[Rule]:
    """Rules of secure aggregation and of distributed noise."""
    federation, privacy, steps = study.federation, study.privacy, study.training.local_steps
    distributed = privacy.trust == "distributed"
    return [
        (privacy.colluding >= 0, "privacy.colluding", privacy.colluding, "it must be at least 0"),
        (
            not federation.secure or federation.quorum - privacy.colluding >= 2,
            "federation.quorum",
            federation.quorum,
            f"secure aggregation needs at least two sites that do not collude: privacy.colluding = "
            f"{privacy.colluding} and two, {privacy.colluding + 2}; or set federation.aggregation = 'plain'",
        ),
        (
            federation.threshold == 0 or 2 <= federation.threshold <= federation.quorum,
            "federation.threshold",
            federation.threshold,
            "it must lie between 2 and federation.quorum, or be 0 for the quorum",
        ),
        (
            0 < federation.stage_deadline_s <= 86_400,
            "federation.stage_deadline_s",
            federation.stage_deadline_s,
            "it must be above 0 and at most a day",
        ),
        (
            not distributed or federation.secure,
            "privacy.trust",
            privacy.trust,
            "a site's share of the noise protects nobody by itself; it needs federation.aggregation = 'secure'",
        ),
        (
            not distributed or privacy.colluding >= 1,
            "privacy.colluding",
            privacy.colluding,
            "with privacy.trust = 'distributed' it must be at least 1: every site can subtract its own share of the "
            "noise",
        ),
        (
            not distributed or steps == 1,
            "training.local_steps",
            steps,
            "with privacy.trust = 'distributed' it must be 1: a second step would start from numbers that carry the "
            "site's own share of the noise only",
        ),
    ]
