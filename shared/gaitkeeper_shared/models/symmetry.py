"""Left-right symmetry: a fixed encoder of very few numbers, for studies of few patients.

Symmetry is what clinical gait analysis looks at first (Sadeghi et al. 2000, doi:10.1016/S0966-6362(00)00070-9), and
noise costs accuracy in proportion to the number of privately trained parameters, so that a head over a handful of such
numbers learns from some ten patients a clinic, where a whole recurrent network learns nothing at the same epsilon.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import torch

from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.models.channels import CHANNEL_BY_NAME
from gaitkeeper_shared.models.measures import Measure
from gaitkeeper_shared.models.registry import TemporalEncoder, register
from gaitkeeper_shared.models.spec import ModelSpec
from gaitkeeper_shared.skeleton import SIDES

_LIMIT = 3.0
_LENGTH = 2.0
"""Length of a typical feature vector: its gradient's, too, which the clipping norm of a study is chosen for."""

# Centre and spread, in spreads of the channel, of the left-right difference between means over 2.5 s: round numbers
# near mean and deviation of 240 synthetic patients, half of them healthy (``gaitkeeper simulate``). Published
# constants, the same at every site.
_PUBLISHED = {
    "hip_flexion": (0.1, 0.1),
    "knee_flexion": (0.1, 0.1),
    "ankle_dorsiflexion": (0.1, 0.1),
    "foot_forward": (0.1, 0.1),
    "foot_height": (0.02, 0.02),
    "hand_forward": (0.15, 0.2),
}


@register("symmetry")
class SymmetryEncoder(TemporalEncoder):
    """Per pair of left and right channels the difference between their means; per other channel its mean.

    The mean fades in and out with the window (Hann), as a window holds no whole number of strides: of 2.2 s and more it
    is then the same wherever in a stride of 1.1 s the window begins, where an even mean would add a difference that has
    nothing to do with symmetry. No parameter is trained; ``hidden`` and ``layers`` of the study do not matter. Raises
    ``model-channels-unfit`` for channels of which there are no published constants, such as foot forces.
    """

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        names = spec.input.channels
        stems = [name.removesuffix("_left") for name in names if name.endswith("_left")]
        pairs = [stem for stem in stems if f"{stem}_right" in names]
        if unknown := [f"{stem}_left" for stem in pairs if stem not in _PUBLISHED]:
            raise GaitkeeperError("model-channels-unfit", kind="symmetry", unfit=", ".join(unknown))
        self.pairs = [tuple(names.index(f"{stem}_{side}") for side in SIDES) for stem in pairs]
        paired = {place for pair in self.pairs for place in pair}
        self.single = [place for place in range(len(names)) if place not in paired]
        self.published = [_PUBLISHED[stem] for stem in pairs]
        self.width = len(self.pairs) + len(self.single)
        self.measures = tuple(self._measures(stems=pairs, names=names))

    def _measures(self, stems: Sequence[str], names: Sequence[str]) -> Iterator[Measure]:
        """What the features are, in the units of the channels: ``NAME_difference`` for a pair, else ``NAME_mean``."""
        length = _LENGTH / math.sqrt(self.width)
        for stem, (center, spread) in zip(stems, self.published, strict=True):
            pair = tuple(CHANNEL_BY_NAME[f"{stem}_{side}"] for side in SIDES)
            scale, places = pair[0].spread, tuple(channel.name for channel in pair)
            yield Measure(
                f"{stem}_difference", pair[0].unit, places, center * scale, spread * scale / length, _LIMIT * length
            )
        for channel in (CHANNEL_BY_NAME[names[place]] for place in self.single):
            spread = channel.spread / length
            yield Measure(
                f"{channel.name}_mean", channel.unit, (channel.name,), channel.center, spread, _LIMIT * length
            )

    def forward(self, windows: torch.Tensor) -> torch.Tensor:
        """(N, T, C) to (N, pairs + single channels), scaled to a length of about 2."""
        fade = torch.hann_window(windows.shape[1] + 2, periodic=False, dtype=windows.dtype, device=windows.device)[1:-1]
        means = torch.einsum("ntc,t->nc", windows, fade / fade.sum())
        columns = [
            ((means[:, left] - means[:, right]).abs() - center) / spread
            for (left, right), (center, spread) in zip(self.pairs, self.published, strict=True)
        ]
        columns += [means[:, place] for place in self.single]
        features = torch.stack(columns, dim=1).clamp(-_LIMIT, _LIMIT)
        return features * (_LENGTH / math.sqrt(self.width))
