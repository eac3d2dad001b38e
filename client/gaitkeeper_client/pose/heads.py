"""What the heads of top-down pose networks say: from their outputs to points in pixels of the network's input.

Two kinds. *SimCC* (Li et al. 2022, arXiv:2107.03332; RTMPose, arXiv:2303.07399): for each joint one row of bins along
x and one along y. *Heatmaps* (HRNet, arXiv:1902.09212; ViTPose, arXiv:2204.12484): for each joint a small picture with
a bump. The bump's top is found between the pixels from a parabola through the logarithm, exact for a Gaussian (Zhang
et al. 2020, arXiv:1910.06278).
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from gaitkeeper_shared.arrays import FloatArray

HeatmapGrid = Literal["plain", "udp"]
"""How a heatmap lies on the input: ``plain`` counts from the corner (HRNet), ``udp`` makes the first and the last
pixels of both meet (Huang et al. 2020, arXiv:1911.07524; ViTPose)."""

_SMALL = 1e-10
_BLUR_SIGMA = 1.0
_BLUR_SIZE = 5


def decode_simcc(x: FloatArray, y: FloatArray, size: tuple[int, int]) -> tuple[FloatArray, FloatArray]:
    """(K, 2) points and (K,) confidence from (K, bins along x) and (K, bins along y). ``size``: input's width, height.

    The confidence is the lower of both maxima, in 0..1.
    """
    points, tops = np.empty((x.shape[0], 2)), []
    for axis, rows in enumerate((x, y)):
        best = rows.argmax(axis=1)
        tops.append(rows[np.arange(rows.shape[0]), best])
        points[:, axis] = (best + _between(rows, best)) * (size[axis] / rows.shape[1])
    return points, np.clip(np.minimum(*tops), 0.0, 1.0)


def decode_heatmaps(
    heatmaps: FloatArray, size: tuple[int, int], grid: HeatmapGrid = "plain"
) -> tuple[FloatArray, FloatArray]:
    """(K, 2) points and (K,) confidence from (K, h, w). ``size``: the input's width and height."""
    count, height, width = heatmaps.shape
    flat = heatmaps.reshape(count, -1)
    best = flat.argmax(axis=1)
    confidence = np.clip(flat[np.arange(count), best], 0.0, 1.0)
    row, column = np.divmod(best, width)
    points = np.stack([column, row], axis=1) + _tops(heatmaps, row, column)
    if grid == "udp":
        steps = np.array([(size[0] - 1) / max(width - 1, 1), (size[1] - 1) / max(height - 1, 1)])
    else:
        steps = np.array([size[0] / width, size[1] / height])
    return points * steps, confidence


def _between(rows: FloatArray, best: FloatArray) -> FloatArray:
    """(K,) where the top of a parabola through the highest bin and its neighbours lies, in bins from the highest."""
    last = rows.shape[1] - 1
    which = np.arange(rows.shape[0])
    middle = rows[which, best]
    before, after = rows[which, np.maximum(best - 1, 0)], rows[which, np.minimum(best + 1, last)]
    curve = before - 2.0 * middle + after
    inner = (best > 0) & (best < last) & (curve < 0.0)
    out: FloatArray = np.where(inner, 0.5 * (before - after) / np.where(inner, curve, 1.0), 0.0)
    return np.clip(out, -0.5, 0.5)


def _tops(heatmaps: FloatArray, row: FloatArray, column: FloatArray) -> FloatArray:
    """(K, 2) x and y from the highest pixel to the top of the bump, at most a pixel; 0 at the border."""
    import cv2

    count, height, width = heatmaps.shape
    out = np.zeros((count, 2))
    for k in range(count):
        r, c = int(row[k]), int(column[k])
        if not (1 <= r < height - 1 and 1 <= c < width - 1):
            continue
        smooth = cv2.GaussianBlur(heatmaps[k].astype(np.float64), (_BLUR_SIZE, _BLUR_SIZE), _BLUR_SIGMA)
        patch = np.log(np.maximum(smooth[r - 1 : r + 2, c - 1 : c + 2], _SMALL))
        slope = 0.5 * np.array([patch[1, 2] - patch[1, 0], patch[2, 1] - patch[0, 1]])
        bend_x = patch[1, 2] - 2.0 * patch[1, 1] + patch[1, 0]
        bend_y = patch[2, 1] - 2.0 * patch[1, 1] + patch[0, 1]
        twist = 0.25 * (patch[2, 2] - patch[2, 0] - patch[0, 2] + patch[0, 0])
        bends = np.array([[bend_x, twist], [twist, bend_y]])
        if bend_x < 0.0 and np.linalg.det(bends) > _SMALL:
            out[k] = np.clip(-np.linalg.solve(bends, slope), -1.0, 1.0)
    return out
