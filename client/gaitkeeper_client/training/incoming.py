"""What a site asks of the weights that come in for a masked round, before it charges or trains.

All of it is in the order and the study, nothing in the site's data: a site that refuses tells nothing of its patients.
"""

from __future__ import annotations

import numpy as np

from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.federation import Weights
from gaitkeeper_shared.privacy.calibration import check_calibration
from gaitkeeper_shared.privacy.plan import PrivacyPlan
from gaitkeeper_shared.study import Study

LARGEST_INCOMING = 2.0**10
"""Far below what a masked number may be (``secure.arithmetic.LARGEST``), so that training does not come near that."""
STEPS_OF_NOISE = 64
"""Steps of float32, at the largest weight, that the standard deviation of this site's noise must be."""


def check_incoming(study: Study, prices: PrivacyPlan, weights: Weights) -> None:
    """Return where an update of ``weights`` can be masked and its noise is not rounded away.

    A coordinator could send weights so large that float32 steps over the noise: with distributed trust, where a step
    has this site's share of it alone, the rounded update would tell who was in it. Raises ``round-refused``, or
    ``calibration-noise`` where a later round of the study would round its noise away whatever the weights.
    """
    if not study.federation.secure:
        return
    check_calibration(study, prices)
    largest = 0.0
    for name, array in weights.items():
        values = np.abs(array.astype(np.float64))
        if not np.isfinite(values).all() or (values > LARGEST_INCOMING).any():
            why = f"weights of {name[:80]!r} are beyond {LARGEST_INCOMING:.0f}, too large for a masked round"
            raise GaitkeeperError("round-refused", why=why)
        largest = max(largest, float(values.max(initial=0.0)))
    if study.privacy.trust == "distributed" and prices.train is not None:
        noise, step = noise_on_a_weight(study, prices), float(np.spacing(np.float32(largest)))
        if step * STEPS_OF_NOISE > noise:
            why = f"at weights of {largest:.3g} the noise of {noise:.2g} would be lost in steps of {step:.2g}"
            raise GaitkeeperError("round-refused", why=why)


def noise_on_a_weight(study: Study, prices: PrivacyPlan) -> float:
    """Standard deviation of the noise that one private step of this site puts on a weight, in its quietest round."""
    privacy, training = study.privacy, study.training
    rate = min(training.learning_rate, training.calibration_rate) if training.calibration else training.learning_rate
    of_sum = prices.site_noise_multiplier * privacy.clip_norm
    return rate * of_sum / (privacy.sample_rate * privacy.patients_per_site)
