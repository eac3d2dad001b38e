"""The study: the protocol that a consortium signs and a site approves. Data only, strict, and hashed as bytes.

A study is a TOML file. Its identity is the SHA-256 of the file's bytes, so that what a board read is what runs. Every
key is known, every value is checked here, once; the rest of the code receives frozen values.
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.study_federation import Federation
from gaitkeeper_shared.study_table import build
from gaitkeeper_shared.toml import table_of

STUDY_SCHEMA = "gaitkeeper.study/1"
SECURE_FROM = 3
"""From so many sites in a round on, aggregation is secure where a study does not say otherwise."""
LONGEST_WINDOW_S = 600.0
"""Stride-to-stride variability needs minutes of walking (``model.kind = "strides"``); joint angles need seconds."""


@dataclass(frozen=True, slots=True)
class Task:
    """What is predicted. ``map`` renames a site's labels to ``labels``; a label in neither is left out of training.

    ``kind``: ``classification``, or ``severity``: the labels are grades in rising order and ``values`` says what each
    is worth, one number for each; the model then tells a number between the first value and the last. A site's label
    that is a number itself counts as the nearest grade, and beyond the ends as the end: a target without bounds would
    have a gradient without bounds. ``certain_from``: least probability at which a label is proposed; below it the
    model says that it does not know.
    """

    labels: tuple[str, ...]
    kind: Literal["classification", "severity"] = "classification"
    map: Mapping[str, str] = field(default_factory=dict)
    values: tuple[float, ...] = ()
    certain_from: float = 0.0

    def class_of(self, site_label: str) -> int | None:
        """Index into ``labels`` for a site's own label, or None when the study does not use it."""
        label = self.map.get(site_label, site_label)
        if label in self.labels:
            return self.labels.index(label)
        return nearest_grade(label, self.values) if self.kind == "severity" else None


@dataclass(frozen=True, slots=True)
class Input:
    """What the model sees: windows of feature channels. ``rate_hz`` in Hz, ``window_s`` and ``hop_s`` in seconds.

    A patient contributes at most ``max_windows`` windows, spread evenly over all their recordings.
    """

    channels: tuple[str, ...]
    rate_hz: float = 30.0
    window_s: float = 2.0
    hop_s: float = 0.5
    max_windows: int = 16

    @property
    def window_samples(self) -> int:
        """Samples in a window."""
        return round(self.window_s * self.rate_hz)


@dataclass(frozen=True, slots=True)
class Model:
    """The temporal model that is trained. ``kind`` is a name of ``gaitkeeper_shared.models``.

    ``trained``: which parameters the private steps change: ``all``, or some of ``encoder``, ``adapters`` and ``head``.
    The fewer they are, the less the noise hurts. ``adapter_rank``: rank of the corrections that stand beside every
    weight matrix of the encoder; 0 for none. ``personal``: ``head`` allows a site to fit a head of its own over a
    release (``site personalise``), which never leaves it. ``features``: numbers into which the encoder's output is
    drawn together before the head; 0 leaves it as it is. ``branch``: clinical numbers that stand beside the encoder's
    for the head. ``start``: the weights of the first round, drawn at ``random``, or trained on ``synthetic`` patients,
    which costs no privacy (``coordinator pretrain``).
    """

    kind: str = "lstm"
    hidden: int = 32
    layers: int = 1
    seed: int = 0
    trained: tuple[str, ...] = ("all",)
    features: int = 0
    branch: Literal["none", "symmetry"] = "none"
    start: Literal["random", "synthetic"] = "random"
    adapter_rank: int = 0
    personal: Literal["none", "head"] = "none"

    @property
    def trained_parts(self) -> str:
        """``trained`` as one text, with ``+`` between, which is how a model's specification holds it."""
        return "+".join(self.trained)


@dataclass(frozen=True, slots=True)
class Training:
    """Rounds of the federation and the private steps that a site takes in each.

    ``class_weights``: one per label, at most 1, multiplied onto a patient's clipped gradient; none are all 1. Public
    numbers of the protocol, for labels of which far fewer patients are expected. ``average``: share of the last rounds
    whose models are averaged into the final one (Polyak & Juditsky 1992, doi:10.1137/0330046); 0 takes the last.
    Momentum and averaging work on noised numbers and cost no privacy.

    ``strategy``: ``fedavg`` (McMahan et al. 2017, doi:10.48550/arXiv.1602.05629) has the momentum at the sites, which
    keep it between rounds; ``fedavgm`` (Hsu et al. 2019, doi:10.48550/arXiv.1909.06335) at the coordinator, as every
    strategy has with distributed noise. ``fedprox`` (Li et al. 2020, doi:10.48550/arXiv.1812.06127) is ``fedavg`` with
    a pull of strength ``proximal`` towards the model that a round started from; it acts from a round's second local
    step on, and on noised numbers alone. ``fedadam`` (Reddi et al. 2021, doi:10.48550/arXiv.2003.00295) takes the
    mean of the sites' changes as a gradient for Adam at the coordinator: ``server_learning_rate``, ``momentum``,
    ``second_momentum`` and ``adaptivity`` are its eta, beta 1, beta 2 and tau.

    ``calibration``: how many of the ``rounds``, the last ones, change nothing but the sharpness of the head and its
    offsets, starting from the average of the others: so that a probability of .8 is right in eight of ten
    (``training.calibration`` of the client). They are private steps as all others and are in the same price.
    ``calibration_rate`` is their learning rate.
    """

    rounds: int
    local_steps: int = 1
    learning_rate: float = 0.5
    momentum: float = 0.9
    class_weights: tuple[float, ...] = ()
    average: float = 0.0
    strategy: Literal["fedavg", "fedavgm", "fedprox", "fedadam"] = "fedavg"
    proximal: float = 0.0
    server_learning_rate: float = 0.1
    second_momentum: float = 0.99
    adaptivity: float = 1e-3
    calibration: int = 0
    calibration_rate: float = 8.0

    def calibrates(self, number: int) -> bool:
        """Whether round ``number``, counted from 1, is one of the calibration."""
        return self.rounds - self.calibration < number <= self.rounds


@dataclass(frozen=True, slots=True)
class Privacy:
    """The price: (epsilon, delta) for a patient over the whole study, by Poisson-sampled DP-SGD per patient.

    ``delta``: at most 1 / ``patients_per_site``.

    ``sample_rate`` (chance of a patient to be in a step) and ``patients_per_site`` (nominal; the clipped sum is divided
    by their product) are **public constants**: derived from a site's data they would leak it (Opacus issues 571, 819).
    ``epsilon = inf`` switches noise off and is accepted by ``coordinator rehearse`` only.

    ``trust``: with ``local`` each site's update carries the whole noise and is private by itself. With ``distributed``
    each site adds its share of it, and the promise holds for the sum that secure aggregation lets out, as long as at
    most ``colluding`` of the sites in the sum work with the coordinator or subtract their own noise from the model.
    ``colluding`` is 1 where a study does not say it: every site knows the noise that it added itself.
    """

    epsilon: float
    delta: float
    clip_norm: float
    sample_rate: float
    patients_per_site: int
    unit: Literal["patient"] = "patient"
    trust: Literal["local", "distributed"] = "local"
    colluding: int = 1


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What a site may say about the model's quality: noised counts over patients kept out of training.

    ``holdout``: share of each site's patients kept out, by a keyed hash of the patient. ``epsilon``: spent by those
    patients on all evaluations of the study together (Gaussian mechanism, the study's delta), at most
    ``privacy.epsilon``; where a study does not say it, the smaller of 2 and that. ``every``: rounds between.
    """

    holdout: float = 0.25
    epsilon: float = 2.0
    every: int = 1


@dataclass(frozen=True, slots=True)
class Audit:
    """Subgroups over which the global model is audited: columns of the cohort."""

    groups: tuple[str, ...] = ("sex",)


@dataclass(frozen=True, slots=True)
class Study:
    """A whole study; see the classes above for its tables."""

    name: str
    task: Task
    input: Input
    training: Training
    privacy: Privacy
    title: str = ""
    model: Model = field(default_factory=Model)
    evaluation: Evaluation = field(default_factory=Evaluation)
    federation: Federation = field(default_factory=Federation)
    audit: Audit = field(default_factory=Audit)
    schema: str = STUDY_SCHEMA


def momentum_at_coordinator(study: Study) -> bool:
    """Whether the coordinator applies the momentum, to the mean of all sites, and the sites have none."""
    return study.privacy.trust == "distributed" or study.training.strategy in ("fedavgm", "fedadam")


def study_hash(data: bytes) -> str:
    """Identity of a study: the SHA-256 of its file's bytes, in hex."""
    return hashlib.sha256(data).hexdigest()


def load_study(path: Path) -> tuple[Study, bytes]:
    """Read and check a study file; also its bytes, which are what is signed."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise GaitkeeperError("study-not-found", path=path) from error
    return parse_study(data, origin=str(path)), data


def parse_study(data: bytes, *, origin: str = "the study") -> Study:
    """A study from its bytes. Raises ``study-not-toml``, ``-unknown-key``, ``-missing-key`` or ``-bad-value``."""
    try:
        table = table_of(data)
    except ValueError as error:
        raise GaitkeeperError("study-not-toml", path=origin, detail=error) from error
    from gaitkeeper_shared.study_rules import check

    study: Study = build(Study, _with_lists(table), "")
    if "epsilon" not in table.get("evaluation", {}) and study.privacy.epsilon < study.evaluation.epsilon:
        # The default never asks for more than the study's own price.
        evaluation = dataclasses.replace(study.evaluation, epsilon=study.privacy.epsilon)
        study = dataclasses.replace(study, evaluation=evaluation)
    if "aggregation" not in table.get("federation", {}) and study.federation.quorum >= SECURE_FROM:
        study = dataclasses.replace(study, federation=dataclasses.replace(study.federation, aggregation="secure"))
    check(study)
    return study


def _with_lists(table: Mapping[str, Any]) -> Mapping[str, Any]:
    """The table with ``model.trained = "head"`` as the list of one that it stands for."""
    model = table.get("model")
    if isinstance(model, Mapping) and isinstance(model.get("trained"), str):
        return {**table, "model": {**model, "trained": [model["trained"]]}}
    return table


def nearest_grade(label: str, values: Sequence[float]) -> int | None:
    """Index of the value nearest to a label that is a number, the lower one between two; None for any other label."""
    try:
        number = float(label)
    except ValueError:
        return None
    if not math.isfinite(number):
        return None
    return min(range(len(values)), key=lambda index: abs(values[index] - number))
