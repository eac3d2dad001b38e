"""The study: the protocol that a consortium signs and a site approves. Data only, strict, and hashed as bytes.

A study is a TOML file. Its identity is the SHA-256 of the file's bytes, so that what a board read is what runs. Every
key is known, every value is checked here, once; the rest of the code receives frozen values.
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.study_table import build, require
from gaitkeeper_shared.toml import table_of

STUDY_SCHEMA = "gaitkeeper.study/1"
SECURE_FROM = 3
"""From so many sites in a round on, aggregation is secure where a study does not say otherwise."""
LONGEST_WINDOW_S = 600.0
"""Stride-to-stride variability needs minutes of walking (``model.kind = "strides"``); joint angles need seconds."""
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")


@dataclass(frozen=True, slots=True)
class Task:
    """What is predicted. ``map`` renames a site's labels to ``labels``; a label in neither is left out of training."""

    labels: tuple[str, ...]
    kind: Literal["classification"] = "classification"
    map: Mapping[str, str] = field(default_factory=dict)

    def class_of(self, site_label: str) -> int | None:
        """Index into ``labels`` for a site's own label, or None when the study does not use it."""
        label = self.map.get(site_label, site_label)
        return self.labels.index(label) if label in self.labels else None


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

    ``trained``: which parameters the private steps change, ``all`` or only the ``head`` over the encoder. The fewer
    they are, the less the noise hurts. ``features``: numbers into which the encoder's output is drawn together before
    the head; 0 leaves it as it is. ``branch``: clinical numbers that stand beside the encoder's for the head.
    ``start``: the weights of the first round, drawn at ``random``, or trained on ``synthetic`` patients, which costs no
    privacy (``coordinator pretrain``).
    """

    kind: str = "lstm"
    hidden: int = 32
    layers: int = 1
    seed: int = 0
    trained: Literal["all", "head"] = "all"
    features: int = 0
    branch: Literal["none", "symmetry"] = "none"
    start: Literal["random", "synthetic"] = "random"


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
    step on, and on noised numbers alone.
    """

    rounds: int
    local_steps: int = 1
    learning_rate: float = 0.5
    momentum: float = 0.9
    class_weights: tuple[float, ...] = ()
    average: float = 0.0
    strategy: Literal["fedavg", "fedavgm", "fedprox"] = "fedavg"
    proximal: float = 0.0


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
class Federation:
    """Who has to be there. ``quorum``: sites that must reply in a round. ``deadline_s``: for one round, in seconds.

    ``aggregation``: ``secure`` shows the coordinator the sum of at least ``quorum`` updates and no single one; it is
    the default for a quorum of three and more, as a sum of two tells each of them the other's. ``threshold``: sites
    whose shares open that sum; 0, the default, stands for the quorum. ``stage_deadline_s``: for each stage of a masked
    round after the first, in seconds; the first one trains and may take what ``deadline_s`` leaves.
    """

    quorum: int = 2
    deadline_s: float = 600.0
    aggregation: Literal["secure", "plain"] = "plain"
    threshold: int = 0
    stage_deadline_s: float = 60.0

    @property
    def secure(self) -> bool:
        """Whether updates leave a site masked only."""
        return self.aggregation == "secure"

    @property
    def shares_needed(self) -> int:
        """``threshold``, or what it stands for."""
        return self.threshold or self.quorum


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
    return study.privacy.trust == "distributed" or study.training.strategy == "fedavgm"


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
    study: Study = build(Study, table, "")
    if "epsilon" not in table.get("evaluation", {}) and study.privacy.epsilon < study.evaluation.epsilon:
        # The default never asks for more than the study's own price.
        evaluation = dataclasses.replace(study.evaluation, epsilon=study.privacy.epsilon)
        study = dataclasses.replace(study, evaluation=evaluation)
    if "aggregation" not in table.get("federation", {}) and study.federation.quorum >= SECURE_FROM:
        study = dataclasses.replace(study, federation=dataclasses.replace(study.federation, aggregation="secure"))
    _check(study)
    return study


def _check(study: Study) -> None:
    from gaitkeeper_shared.models.channels import CHANNEL_BY_NAME

    task, window, training, privacy = study.task, study.input, study.training, study.privacy
    rules: list[tuple[bool, str, Any, str]] = [
        (study.schema == STUDY_SCHEMA, "schema", study.schema, f"this version understands {STUDY_SCHEMA!r}"),
        (
            bool(_NAME.fullmatch(study.name)),
            "name",
            study.name,
            "use lower-case letters, digits and hyphens, at most 63",
        ),
        (len(task.labels) >= 2, "task.labels", list(task.labels), "at least two labels are needed"),
        (len(set(task.labels)) == len(task.labels), "task.labels", list(task.labels), "a label stands twice"),
        (len(window.channels) >= 1, "input.channels", list(window.channels), "at least one channel is needed"),
        (10 <= window.rate_hz <= 200, "input.rate_hz", window.rate_hz, "it must lie between 10 and 200 Hz"),
        (
            0.5 <= window.window_s <= LONGEST_WINDOW_S,
            "input.window_s",
            window.window_s,
            f"it must lie between 0.5 and {LONGEST_WINDOW_S:g} s",
        ),
        (0 < window.hop_s <= window.window_s, "input.hop_s", window.hop_s, "it must lie between 0 and window_s"),
        (1 <= window.max_windows <= 256, "input.max_windows", window.max_windows, "it must lie between 1 and 256"),
        (1 <= study.model.hidden <= 1024, "model.hidden", study.model.hidden, "it must lie between 1 and 1024"),
        (1 <= study.model.layers <= 8, "model.layers", study.model.layers, "it must lie between 1 and 8"),
        (0 <= study.model.features <= 256, "model.features", study.model.features, "it must lie between 0 and 256"),
        (1 <= training.rounds <= 10_000, "training.rounds", training.rounds, "it must lie between 1 and 10000"),
        (
            1 <= training.local_steps <= 1_000,
            "training.local_steps",
            training.local_steps,
            "it must lie between 1 and 1000",
        ),
        (0 < training.learning_rate <= 100, "training.learning_rate", training.learning_rate, "it must be above 0"),
        (0 <= training.momentum < 1, "training.momentum", training.momentum, "it must lie in [0, 1)"),
        (
            0 <= training.proximal < math.inf and (training.proximal == 0) == (training.strategy != "fedprox"),
            "training.proximal",
            training.proximal,
            "it must be above 0 with training.strategy = 'fedprox', and 0 with any other",
        ),
        (
            training.proximal == 0 or training.proximal * training.learning_rate < 1,
            "training.proximal",
            training.proximal,
            "times training.learning_rate it must be below 1, or a step overshoots the model that it is pulled to",
        ),
        (0 <= training.average <= 1, "training.average", training.average, "it must lie in [0, 1]"),
        (
            len(training.class_weights) in (0, len(task.labels)) and all(0 < w <= 1 for w in training.class_weights),
            "training.class_weights",
            list(training.class_weights),
            "one number above 0 and at most 1 is needed for each label",
        ),
        (privacy.epsilon > 0, "privacy.epsilon", privacy.epsilon, "privacy needs an epsilon above 0"),
        (
            0 < privacy.delta < 1 and privacy.delta * privacy.patients_per_site <= 1,
            "privacy.delta",
            privacy.delta,
            "it must lie above 0 and be at most 1 / privacy.patients_per_site: delta is the chance that a patient is "
            "not protected at all, so that it should be well below that",
        ),
        (0 < privacy.clip_norm < math.inf, "privacy.clip_norm", privacy.clip_norm, "it must be above 0 and finite"),
        (0 < privacy.sample_rate <= 1, "privacy.sample_rate", privacy.sample_rate, "it must lie in (0, 1]"),
        (
            privacy.patients_per_site >= 1,
            "privacy.patients_per_site",
            privacy.patients_per_site,
            "it must be at least 1",
        ),
        (0 <= study.evaluation.holdout < 1, "evaluation.holdout", study.evaluation.holdout, "it must lie in [0, 1)"),
        (study.evaluation.epsilon > 0, "evaluation.epsilon", study.evaluation.epsilon, "it must be above 0"),
        (
            study.evaluation.holdout == 0 or study.evaluation.epsilon <= privacy.epsilon,
            "evaluation.epsilon",
            study.evaluation.epsilon,
            f"it must be at most privacy.epsilon = {privacy.epsilon:g}: patients kept out are protected as the others",
        ),
        (study.evaluation.every >= 1, "evaluation.every", study.evaluation.every, "it must be at least 1"),
        (study.federation.quorum >= 1, "federation.quorum", study.federation.quorum, "it must be at least 1"),
        (
            0 < study.federation.deadline_s <= 86_400,
            "federation.deadline_s",
            study.federation.deadline_s,
            "at most a day",
        ),
        *_secure_rules(study),
    ]
    for holds, key, value, why in rules:
        require(holds, key, value, why)
    for name in window.channels:
        require(name in CHANNEL_BY_NAME, "input.channels", name, "there is no such channel")
    for label, target in task.map.items():
        require(target in task.labels, f"task.map.{label}", target, "it is not one of task.labels")


def _secure_rules(study: Study) -> list[tuple[bool, str, Any, str]]:
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
