"""What tests said of a release's explanations: the value that a report shows. It is made in ``explained``."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from gaitkeeper_shared.typed_json import from_json

CERTIFICATE_SCHEMA = "gaitkeeper.certificate/1"
CheckName = Literal[
    "planted", "untrained", "located", "deletion", "insertion", "faithful", "randomised", "stable", "spm"
]
Status = Literal["passed", "failed", "not-applicable"]


@dataclass(frozen=True, slots=True)
class Check:
    """One test. ``value`` is what was found, ``compared`` what it is held against, ``count`` over how many cases.

    ``decisive``: whether the certificate fails where this one does; others are told and decide nothing.
    """

    name: CheckName
    value: float
    compared: float
    count: int
    passed: bool
    decisive: bool = True


@dataclass(frozen=True, slots=True)
class Certificate:
    """What the tests said of the explanations of one release, by the SHA-256 of its weights.

    ``walks``: simulated walks that were explained. ``reason``: why the tests do not apply, empty where they do.
    ``made_at``: UTC, ISO 8601; ``software``: the version that explained and tested.
    """

    sha256: str
    status: Status
    checks: tuple[Check, ...]
    walks: int
    made_at: str
    software: str
    reason: str = ""

    @property
    def failed(self) -> tuple[Check, ...]:
        """The decisive tests that failed."""
        return tuple(check for check in self.checks if check.decisive and not check.passed)

    def to_json(self) -> dict[str, Any]:
        """JSON values only; :func:`certificate_of` is the inverse."""
        return {"schema": CERTIFICATE_SCHEMA, **dataclasses.asdict(self)}


def certificate_of(table: Mapping[str, Any]) -> Certificate:
    """A certificate from its JSON. Raises ``ValueError`` for anything else."""
    values = dict(table)
    if values.pop("schema", None) != CERTIFICATE_SCHEMA:
        raise ValueError(f"its schema is not {CERTIFICATE_SCHEMA}")
    return from_json(Certificate, values, "certificate")


def sentence(check: Check) -> str:
    """A test in words, made from its numbers."""
    value, compared, count = check.value, check.compared, check.count
    texts: dict[CheckName, str] = {
        "planted": (
            f"Planted defects: of {count} changes of one joint in one phase that the model answers to, the marked "
            f"cells hold {value:.0%} of all contributions; cells at random would hold {compared:.0%}."
        ),
        "untrained": (
            f"Planted defects: of the same walks ({count} cases), the heatmap of a model with random weights holds "
            f"{compared:.0%} in those cells, this one's {value:.0%}."
        ),
        "located": (
            f"Planted defects: in {value:.0%} of {count} cases the change of the heatmap is largest in the very cell "
            f"that was changed; by chance it would be {compared:.0%}."
        ),
        "deletion": (
            f"Deletion: with the cells replaced by the reference walk in the heatmap's order, the label's log-odds "
            f"keep {value:.0%} of their height on average; in random order {compared:.0%} ({count} walks)."
        ),
        "insertion": (
            f"Insertion: with the patient's cells put into the reference walk in the heatmap's order, the log-odds "
            f"reach {value:.0%} of their height on average; in random order {compared:.0%} ({count} walks)."
        ),
        "faithful": (
            f"Faithfulness: over joints and quarters of the cycle, contributions rank as the answer's fall when just "
            f"that part is replaced, with a correlation of {value:.2f}; at least {compared:.2f} is asked "
            f"({count} walks)."
        ),
        "randomised": (
            f"Random weights: the heatmap of the model with random weights is like this one's with a correlation of "
            f"{value:.2f}; it must be below that of the same walk under noise, {compared:.2f} ({count} walks)."
        ),
        "stable": (
            f"Noise of keypoints: the heatmap of the same walk with noisy points correlates with {value:.2f}; at least "
            f"{compared:.2f} is asked ({count} walks)."
        ),
        "spm": (
            f"Statistical parametric mapping: {value:.0%} of the contributions lie where the walk differs from "
            f"healthy walkers; those parts are {compared:.0%} of the map ({count} walks). A model need not use every "
            "difference."
        ),
    }
    return texts[check.name]
