"""A leg as two bones that keep their length, fitted to where a network saw its joints.

All samples of a walk together: the likeliest motion of hip, thigh and shank where points are :data:`POINT_SD` off, the
less sure ones more, and accelerations are as large as in walking. That is a smoothing spline (Rauch, Tung & Striebel's
smoother gives the same, doi:10.2514/3.3166) of a chain instead of single points: where a joint is hidden for a few
samples, the motion before and after carries it on.
"""

from __future__ import annotations

import numpy as np
from scipy.linalg import solveh_banded

from gaitkeeper_shared.arrays import FloatArray

POINT_SD = 0.02
"""Of a joint in full sight, in leg lengths."""
TURNING_SD = 80.0
"""Angular acceleration of thigh and shank, radians per second squared: a swinging shank has 100 at its most."""
HIP_SD = 0.8
"""Acceleration of the hip, leg lengths per second squared."""
_ROUNDS = 6
"""Of Gauss-Newton; it settles in four."""
_UNKNOWNS = 4


def fit_over_time(leg: FloatArray, lengths: tuple[float, float], weight: FloatArray, rate_hz: float) -> FloatArray:
    """(T, 3, 2) hip, knee and ankle of the likeliest smooth motion with thigh and shank of ``lengths``.

    ``leg``: (T, 3, 2) as seen, evenly sampled and without gaps, at least three samples. ``weight``: (T, 3) of their
    squared distances, above 0.
    """
    upper, lower = (np.unwrap(_elevation(leg[:, n + 1] - leg[:, n])) for n in (0, 1))
    state = np.stack([leg[:, 0, 0], leg[:, 0, 1], upper, lower], axis=1)
    size = sum(lengths)
    root = np.sqrt(np.repeat(weight, 2, axis=1)) / (POINT_SD * size)
    seen = leg.reshape(-1, 6)
    stiff = rate_hz**4 / np.array([HIP_SD * size, HIP_SD * size, TURNING_SD, TURNING_SD]) ** 2
    for _ in range(_ROUNDS):
        model, slopes = _linearised(state, lengths)
        jacobian = root[..., None] * slopes
        turned = np.transpose(jacobian, (0, 2, 1))
        miss = (root * (seen - model))[..., None]
        bent = np.diff(state, n=2, axis=0) * stiff
        push = (turned @ miss)[..., 0] - _second_differences_back(bent, state.shape[0])
        change = solveh_banded(_banded(turned @ jacobian, stiff), push.ravel(), lower=True)
        state = state + change.reshape(state.shape)
    return _chain(state[:, :2], state[:, 2], state[:, 3], lengths)[0]


def _banded(normal: FloatArray, stiff: FloatArray) -> FloatArray:
    """Lower diagonals of the normal equations: (T, 4, 4) blocks of what was seen, and the motion's stiffness."""
    count = normal.shape[0]
    diagonals = np.zeros((2 * _UNKNOWNS + 1, count, _UNKNOWNS))
    for column in range(_UNKNOWNS):
        for below in range(_UNKNOWNS - column):
            diagonals[below, :, column] = normal[:, column + below, column]
    for apart, products in enumerate(((1.0, 4.0, 1.0), (-2.0, -2.0), (1.0,))):
        for offset, product in enumerate(products):
            diagonals[apart * _UNKNOWNS, offset : count - 2 + offset] += product * stiff
    banded: FloatArray = diagonals.reshape(2 * _UNKNOWNS + 1, -1)
    return banded


def _second_differences_back(bent: FloatArray, count: int) -> FloatArray:
    """The transpose of taking second differences, (T - 2, 4) to (T, 4)."""
    out = np.zeros((count, bent.shape[1]))
    out[:-2] += bent
    out[1:-1] -= 2.0 * bent
    out[2:] += bent
    return out


def _linearised(state: FloatArray, lengths: tuple[float, float]) -> tuple[FloatArray, FloatArray]:
    """(T, 6) coordinates of hip, knee and ankle, and (T, 6, 4) how they move with hip and elevations."""
    model, slope_upper, slope_lower = _chain(state[:, :2], state[:, 2], state[:, 3], lengths)
    slopes = np.zeros((state.shape[0], 3, 2, _UNKNOWNS))
    slopes[:, :, 0, 0] = slopes[:, :, 1, 1] = 1.0
    slopes[:, 1:, :, 2] = slope_upper[:, None]
    slopes[:, 2, :, 3] = slope_lower
    return model.reshape(-1, 6), slopes.reshape(-1, 6, _UNKNOWNS)


def _chain(
    hip: FloatArray, upper: FloatArray, lower: FloatArray, lengths: tuple[float, float]
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """(T, 3, 2) joints, and how knee (with all below) and ankle move with the two elevations, (T, 2) each."""
    knee = hip + lengths[0] * np.stack([np.sin(upper), -np.cos(upper)], axis=1)
    ankle = knee + lengths[1] * np.stack([np.sin(lower), -np.cos(lower)], axis=1)
    slope_upper = lengths[0] * np.stack([np.cos(upper), np.sin(upper)], axis=1)
    slope_lower = lengths[1] * np.stack([np.cos(lower), np.sin(lower)], axis=1)
    return np.stack([hip, knee, ankle], axis=1), slope_upper, slope_lower


def _elevation(vector: FloatArray) -> FloatArray:
    return np.asarray(np.arctan2(vector[:, 0], -vector[:, 1]))
