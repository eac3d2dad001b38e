"""Motion-BIDS: a folder with one participant's walk, by the BIDS specification's chapter "Motion"."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from gaitkeeper_client.lab.export.content import ExportContent
from gaitkeeper_shared import __version__
from gaitkeeper_shared.skeleton import JOINTS

BIDS_VERSION = "1.9.0"
_TASK, _SYSTEM, _SUBJECT = "walking", "gaitkeeper", "sub-01"
_README = """One walk, exported by Gaitkeeper.

The files say nothing of who walked. Positions are joints after cleaning, in metres: x and y horizontal, z up. Angles
are sagittal, in degrees, positive in flexion; they are known during the straight walk only.
"""


def bids_files(content: ExportContent) -> dict[str, bytes]:
    """A data set of one participant and one run: its files by their paths."""
    motion, stem = f"{_SUBJECT}/motion", f"{_SUBJECT}_task-{_TASK}"
    system = f"{stem}_tracksys-{_SYSTEM}"
    names, table, channels = _channels(content)
    rows = ["\t".join(_cell(value) for value in row) for row in table]
    description = {
        "Name": f"Gait ({content.status})" if content.status else "Gait",
        "BIDSVersion": BIDS_VERSION,
        "DatasetType": "derivative",
        "GeneratedBy": [{"Name": "Gaitkeeper", "Version": __version__}],
    }
    status = f"\nThe report of this walk: {content.status}.\n" if content.status else ""
    texts = {
        f"{motion}/{system}_motion.tsv": "\n".join(rows) + "\n",
        f"{motion}/{system}_channels.tsv": "\n".join(channels) + "\n",
        f"{motion}/{stem}_events.tsv": _events(content),
        f"{motion}/{system}_motion.json": _json(_sidecar(content, len(names))),
        "dataset_description.json": _json(description),
        "participants.tsv": f"participant_id\n{_SUBJECT}\n",
        "README": _README + status,
    }
    return {path: text.encode("utf-8") for path, text in texts.items()}


def _channels(content: ExportContent) -> tuple[list[str], np.ndarray[Any, np.dtype[np.float64]], list[str]]:
    """Names, the (T, C) table, and the lines of ``_channels.tsv``."""
    names, columns = [], []
    lines = ["name\tcomponent\ttype\ttracked_point\tunits\tsampling_frequency"]
    rate = f"{content.rate_hz:.7g}"
    for number in content.seen():
        joint = JOINTS[number]
        for axis, component in enumerate("xyz"):
            names.append(f"{joint}_{component}")
            columns.append(content.joints[:, number, axis])
            lines.append(f"{names[-1]}\t{component}\tPOS\t{joint}\tm\t{rate}")
    for name, curve in content.angles.items():
        names.append(name)
        columns.append(curve)
        lines.append(f"{name}\tn/a\tJNTANG\t{name}\tdeg\t{rate}")
    return names, np.stack(columns, axis=1), lines


def _events(content: ExportContent) -> str:
    rows = (f"{e.time_s:.6g}\t0\t{e.type}\t{e.side}\t{e.confidence:.4g}" for e in content.events)
    return "\n".join(["onset\tduration\ttrial_type\tside\tconfidence", *rows]) + "\n"


def _sidecar(content: ExportContent, channels: int) -> dict[str, Any]:
    positions = 3 * len(content.seen())
    return {
        "TaskName": _TASK,
        "TrackingSystemName": _SYSTEM,
        "SamplingFrequency": content.rate_hz,
        "RecordingType": "continuous",
        "RecordingDuration": float(content.time_s[-1] - content.time_s[0]),
        "MotionChannelCount": channels,
        "POSChannelCount": positions,
        "JNTANGChannelCount": channels - positions,
        "TrackedPointsCount": positions // 3,
        "SoftwareVersions": f"Gaitkeeper {__version__}",
    }


def _json(value: dict[str, Any]) -> str:
    return json.dumps(value, indent=2) + "\n"


def _cell(value: float) -> str:
    return f"{value:.7g}" if np.isfinite(value) else "n/a"
