"""Foot-force series: the force under each foot over minutes, as channels of a recording.

- PhysioNet gaitndd (Hausdorff et al. 2000, doi:10.1152/jappl.2000.88.6.2045; doi:10.13026/C27G6C): ``.mat``, key
  ``val``, int16, 2 x N, left then right, 300 Hz, -32768 = missing, not calibrated (``unit`` is ``raw``); ``.ts``, text,
  13 columns of stride times, from which foot strikes and foot offs follow.
- PhysioNet gaitpdb (doi:10.13026/C24H3N): text, 19 columns, 100 Hz: time, 8 + 8 sensors, total left, total right, in
  newtons.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from gaitkeeper_client.lab.contacts import CONTACT_N, CONTACT_SHARE, find_contacts, load_share
from gaitkeeper_client.lab.mot import forces_under_feet, read_mot
from gaitkeeper_client.lab.text import MOST_BYTES, broken, check_times, numbers, read_lines
from gaitkeeper_shared.arrays import FloatArray
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.recording import GaitEvent, Side, Signals

GAITNDD_HZ = 300.0
SIDES: tuple[Side, Side] = ("left", "right")
FORCE_CHANNELS = ("foot_force_left", "foot_force_right")
SIGNAL_HZ = 100.0
"""Rate of the channels: that of gaitpdb, and a third of gaitndd's."""
_MISSING = -32768


@dataclass(frozen=True, slots=True)
class FootForces:
    """Force under both feet. ``time_s``: (T,) even. ``force``: (T, 2), left then right, NaN where missing."""

    time_s: FloatArray
    force: FloatArray
    unit: Literal["N", "raw"]

    def loads(self) -> FloatArray:
        """(T, 2) of each foot 0 in the air and about 1 under its usual greatest load (:func:`load_share`)."""
        return np.stack([load_share(self.time_s, self.force[:, column]) for column in range(2)], axis=1)

    def signals(self) -> Signals:
        """Channels :data:`FORCE_CHANNELS` of a recording: :meth:`loads` at :data:`SIGNAL_HZ`, means between samples."""
        loads, rate = self.loads(), 1.0 / float(np.median(np.diff(self.time_s)))
        step = max(1, round(rate / SIGNAL_HZ))
        whole = self.time_s.size // step * step
        means = loads[:whole].reshape(-1, step, 2).mean(axis=1)
        times = self.time_s[:whole].reshape(-1, step).mean(axis=1)
        return Signals(times, FORCE_CHANNELS, means.astype(np.float32))

    def events(self) -> tuple[GaitEvent, ...]:
        """Foot strikes and foot offs by threshold: 20 N, or of raw values a share of the foot's usual load."""
        found: list[GaitEvent] = []
        loads, threshold = (self.force, CONTACT_N) if self.unit == "N" else (self.loads(), CONTACT_SHARE)
        for column, side in enumerate(SIDES):
            found += find_contacts(self.time_s, loads[:, column], threshold, side)
        return tuple(sorted(found, key=lambda event: event.time_s))


@dataclass(frozen=True, slots=True)
class StrideTimes:
    """The ``.ts`` series: per stride the time of its end and its parts, in seconds; columns are left, right.

    ``end_s``: (S,). ``stride_s``, ``swing_s``, ``stance_s``: (S, 2). ``double_support_s``: (S,).
    """

    end_s: FloatArray
    stride_s: FloatArray
    swing_s: FloatArray
    stance_s: FloatArray
    double_support_s: FloatArray


def read_gaitndd(path: Path) -> FootForces:
    """One ``.mat`` of gaitndd. Raises ``lab-file-unreadable`` or ``lab-file-broken``."""
    from scipy.io import loadmat

    try:
        if path.stat().st_size > MOST_BYTES:
            broken(path, "MAT", f"it is larger than {MOST_BYTES // 2**20} MiB")
        values = np.asarray(loadmat(path, variable_names=["val"])["val"])
    except GaitkeeperError:
        raise
    except OSError as error:
        raise GaitkeeperError("lab-file-unreadable", path=path, detail=error.strerror or error) from error
    except Exception as error:  # scipy raises half a dozen types for a broken file
        broken(path, "MAT", f"it has no readable array 'val' ({type(error).__name__})")
    if values.ndim != 2 or values.shape[0] != 2 or values.shape[1] < 2 or values.dtype.kind not in "if":
        broken(path, "MAT", f"'val' has shape {values.shape}, not 2 x N numbers")
    force = values.T.astype(np.float64)
    force[force == _MISSING] = np.nan
    return FootForces(np.arange(force.shape[0]) / GAITNDD_HZ, force, "raw")


def read_gaitndd_times(path: Path) -> StrideTimes:
    """One ``.ts`` of gaitndd: elapsed time, stride L R, swing L R, swing % L R, stance L R, stance % L R, double
    support, double support %."""
    table = _table(path, "gaitndd .ts", 13)
    check_times(table[:, 0], path, "gaitndd .ts")
    return StrideTimes(table[:, 0], table[:, 1:3], table[:, 3:5], table[:, 7:9], table[:, 11])


def read_gaitpdb(path: Path) -> FootForces:
    """One text file of gaitpdb. Raises ``lab-file-unreadable`` or ``lab-file-broken``."""
    table = _table(path, "gaitpdb", 19)
    check_times(table[:, 0], path, "gaitpdb")
    return FootForces(table[:, 0] - table[0, 0], table[:, 17:19], "N")


def read_mot_forces(path: Path) -> FootForces:
    """The vertical forces of a MOT or STO table that says which foot they are under.

    Raises ``lab-file-unreadable``, ``lab-file-broken``, ``lab-points-missing`` or ``lab-force-sides``.
    """
    table = read_mot(path)
    return FootForces(table.time_s, forces_under_feet(table, path), "N")


def _table(path: Path, format_name: str, columns: int) -> FloatArray:
    rows = []
    for number, line in enumerate(read_lines(path, format_name), start=1):
        if cells := line.split():
            if len(cells) != columns:
                broken(path, format_name, f"line {number}: {len(cells)} values instead of {columns}")
            rows.append(numbers(cells, path, format_name, number))
    if not rows:
        broken(path, format_name, "it is empty")
    return np.array(rows)
