"""The guesser watches rounds that calibrate: one number for the head's sharpness and one offset for each label.

The updates come from the calibration code of a site. What is sent is a head; who knows the head that it was made of
reads factor and offsets off it, and so the noised sum over the patients.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from gaitkeeper_client.proof.canary import Target, Trial, watched
from gaitkeeper_client.training import calibration
from gaitkeeper_shared.arrays import FloatArray
from gaitkeeper_shared.privacy.calibration import TYPICAL_LOGIT

if TYPE_CHECKING:
    from gaitkeeper_client.training.dpsgd import PrivateSteps


def calibrated_target(attacked: Target) -> Target:
    """The same canary, with the row that it has in a calibration: (1 + labels,), clipped and weighed."""
    head = np.concatenate([_array(attacked.model.head.weight), _array(attacked.model.head.bias)[:, None]], axis=1)
    row = calibration._Patient(attacked.model, attacked.canary).row(head)
    return replace(attacked, gradient=calibration.clipped(row, attacked.steps, attacked.canary.class_index))


def observe_calibration(attacked: Target, count: int, *, present: bool, steps: PrivateSteps) -> Trial:
    """``count`` calibration steps at a site with the canary or without, as the guesser sees them.

    ``attacked``: of :func:`calibrated_target`.
    """
    return watched(attacked, count, lambda there: _sum_of(attacked, steps, present=there), present=present)


def _sum_of(attacked: Target, steps: PrivateSteps, *, present: bool) -> FloatArray:
    """(1 + labels,) the noised sum of one site's step, read off the head that it sends; the model is put back."""
    head, rate = attacked.model.head, attacked.study.training.calibration_rate
    before = head.weight.detach().clone(), head.bias.detach().clone()
    calibration.calibrate_private(attacked.model, (attacked.canary,) if present else (), steps, rate)
    place = int(before[0].abs().argmax())
    factor = float(head.weight.detach().flatten()[place] / before[0].flatten()[place])
    offsets = _array(before[1]) * factor - _array(head.bias)
    with torch.no_grad():
        head.weight.copy_(before[0])
        head.bias.copy_(before[1])
    step: FloatArray = np.concatenate([[(1.0 - factor) * TYPICAL_LOGIT], offsets])
    return step * steps.normaliser / rate


def _array(parameter: torch.Tensor) -> FloatArray:
    return parameter.detach().cpu().double().numpy()
