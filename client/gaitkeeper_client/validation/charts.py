"""The plots of a validation: differences after Bland and Altman, and joint angles over the gait cycle."""

from __future__ import annotations

import numpy as np
from markupsafe import Markup

from gaitkeeper_client.insight.charts.svg import Axis, Canvas
from gaitkeeper_client.validation.agreement import limits_of_agreement
from gaitkeeper_shared.arrays import FloatArray

WIDTH, HEIGHT, LEFT, RIGHT, BOTTOM = 600.0, 250.0, 60.0, 110.0, 46.0
_FOOT = HEIGHT - BOTTOM


def differences_chart(title: str, across: FloatArray, differences: FloatArray, label: str, unit: str) -> Markup:
    """(N,) differences over (N,) ``across``, with their mean and limits of agreement; none for fewer than two."""
    heading = Markup("<h2>{}: ours minus the reference's</h2>").format(title)
    if differences.size < 2:
        return heading + Markup("<p>Fewer than two pairs.</p>")
    limits = limits_of_agreement(differences)
    span = max(1.0, float(np.abs(np.concatenate([differences, np.array(limits)])).max())) * 1.1
    low, high = float(across.min()), float(across.max())
    pad = 0.05 * (high - low) or 1.0
    x = Axis(low - pad, high + pad, LEFT, WIDTH - RIGHT)
    y = Axis(-span, span, _FOOT, 10.0)
    mean = float(differences.mean())
    canvas = Canvas(WIDTH, HEIGHT, title, f"{differences.size} differences, mean {mean:.1f} {unit}")
    canvas.line(LEFT, y(0.0), WIDTH - RIGHT, y(0.0), "axis")
    canvas.line(LEFT, y(mean), WIDTH - RIGHT, y(mean), "mean")
    canvas.text(WIDTH - RIGHT + 4.0, y(mean) + 4.0, f"mean {round(mean, 2):+.1f} {unit}")
    for limit in limits:
        canvas.line(LEFT, y(limit), WIDTH - RIGHT, y(limit), "limit")
        canvas.text(WIDTH - RIGHT + 4.0, y(limit) + 4.0, f"limit {limit:+.1f} {unit}")
    for at, value in zip(across, differences, strict=True):
        canvas.add("circle", cx=x(float(at)), cy=y(float(value)), r=3.0, cls="dot", title=f"{value:.1f} {unit}")
    for value in (-span / 1.1, 0.0, span / 1.1):
        canvas.text(LEFT - 6.0, y(value) + 4.0, f"{value:.0f} {unit}", anchor="end")
    for value in (low, high) if low < high else (low,):
        canvas.text(x(value), _FOOT + 16.0, f"{value:.0f}", anchor="middle")
    canvas.text(0.5 * (LEFT + WIDTH - RIGHT), HEIGHT - 8.0, label, anchor="middle")
    return heading + Markup("<figure>") + canvas.render() + Markup("</figure>")


def curves_chart(name: str, cycles: FloatArray) -> Markup:
    """(C, 2, 101) degrees, ours and the reference's, of one joint: every cycle, and both means; none for none."""
    if not len(cycles):
        return Markup("")
    angle, _, side = name.rpartition("_")
    title = f"{angle.replace('_', ' ')}, {side}"
    low, high = float(np.nanmin(cycles)), float(np.nanmax(cycles))
    x, y = Axis(0.0, 100.0, LEFT, WIDTH - RIGHT), Axis(low - 2.0, high + 2.0, _FOOT, 10.0)
    canvas = Canvas(WIDTH, HEIGHT, title, f"{len(cycles)} cycles, ours and the reference's, degrees")
    percent = np.linspace(0.0, 100.0, cycles.shape[2])
    means = [(cycles[:, which].mean(axis=0), thick) for which, thick in ((1, "theirs"), (0, "ours"))]
    singles = [(curve, thin) for pair in cycles for curve, thin in zip(pair, ("one", "other"), strict=True)]
    for curve, cls in [*singles, *means]:
        canvas.path([(x(float(at)), y(float(value))) for at, value in zip(percent, curve, strict=True)], cls)
    if low < 0.0 < high:
        canvas.line(LEFT, y(0.0), WIDTH - RIGHT, y(0.0), "axis")
    for value in (low, high):
        canvas.text(LEFT - 6.0, y(value) + 4.0, f"{value:.0f}°", anchor="end")
    for value in (0.0, 50.0, 100.0):
        canvas.text(x(value), _FOOT + 16.0, f"{value:.0f} %", anchor="middle")
    canvas.text(WIDTH - RIGHT + 4.0, 24.0, "ours", cls="key-ours")
    canvas.text(WIDTH - RIGHT + 4.0, 40.0, "reference", cls="key-theirs")
    canvas.text(0.5 * (LEFT + WIDTH - RIGHT), HEIGHT - 8.0, f"{title}, over the gait cycle", anchor="middle")
    return Markup("<figure>") + canvas.render() + Markup("</figure>")
