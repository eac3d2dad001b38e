"""The numbers of calibration rounds: the noise on the sharpness of a head, and the digits that are left to it.

Public, all of it. One number, the factor, moves every weight of the head and is rounded so that its product with each
is exact (``training.calibration`` of the client). Rounding after noise costs no privacy where a site's noise is whole.
With distributed noise it does where the steps are coarse: each site's share of the noise would vanish in its rounding,
and the sum of rounded numbers carries no noise any more. So a study whose noise is that small is refused.
"""

from __future__ import annotations

import math

from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.privacy.plan import PrivacyPlan
from gaitkeeper_shared.study import Study

TYPICAL_LOGIT = 4.0
"""The temperature's derivative is that of the offsets times the logits; divided by this it is as long as theirs."""
MOST_SHIFT = 4.0
"""What the patients of a site move the factor by at most in a step; their noise comes on top of that."""
STEPS_OF_NOISE = 2.0
"""Steps of the factor that the standard deviation of its noise is at least: a sum of Gaussian numbers that are each
rounded so finely differs from their rounded sum by less than exp(-2 pi^2 2^2), far below any delta."""
_FINE, _FEWEST_DIGITS, _MOST_DIGITS = 16.0, 4, 11
_DEVIATIONS = 12.0


def factor_noise(learning_rate: float, noise_multiplier: float, clip_norm: float, normaliser: float) -> float:
    """Standard deviation of one step's noise on the factor."""
    return learning_rate * noise_multiplier * clip_norm / normaliser / TYPICAL_LOGIT


def factor_digits(noise: float) -> tuple[int, int]:
    """Binary digits of a factor before and after its point.

    After it: steps of a sixteenth of the noise, where there are so many. Before it: enough for :data:`MOST_SHIFT` and
    twelve standard deviations.
    """
    after = min(max(math.ceil(math.log2(_FINE / noise)), _FEWEST_DIGITS), _MOST_DIGITS)
    return math.ceil(math.log2(1.0 + MOST_SHIFT + _DEVIATIONS * noise)), after


def check_calibration(study: Study, prices: PrivacyPlan) -> None:
    """Return where the noise of a site's calibration rounds survives rounding. Raises ``calibration-noise``."""
    privacy, training = study.privacy, study.training
    if not training.calibration or privacy.trust != "distributed" or prices.train is None:
        return
    normaliser = privacy.sample_rate * privacy.patients_per_site
    noise = factor_noise(training.calibration_rate, prices.site_noise_multiplier, privacy.clip_norm, normaliser)
    step = 2.0**-_MOST_DIGITS
    if noise < STEPS_OF_NOISE * step:
        raise GaitkeeperError(
            "calibration-noise",
            study=study.name,
            noise=noise,
            step=step,
            rate=training.calibration_rate,
            needed=training.calibration_rate * STEPS_OF_NOISE * step / noise,
        )
