"""One synthetic walk written into every format that is read, by writers that know nothing of the readers."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path

import ezc3d
import h5py
import numpy as np

from gaitkeeper_shared.arrays import FloatArray
from gaitkeeper_shared.recording import JointTrajectories
from gaitkeeper_shared.simulation.patient import draw_patient
from gaitkeeper_shared.simulation.walker import Walk
from gaitkeeper_shared.skeleton import JOINT_INDEX, JOINTS, SIDES

RATE_HZ = 100.0
PIXELS_PER_M = 200.0
WIDTH_PX, HEIGHT_PX = 1920.0, 600.0
PLUG_IN_GAIT = {
    "shoulder": "SHO", "elbow": "ELB", "wrist": "WRI", "hip": "HJC", "knee": "KNE", "ankle": "ANK", "heel": "HEE",
    "toe": "TOE",
}  # fmt: skip
MOTIVE_BONES = {"hip": "Thigh", "knee": "Shin", "ankle": "Foot", "toe": "Toe", "shoulder": "UArm", "elbow": "FArm"}


def walk(seconds: float = 2.0, rate_hz: float = RATE_HZ) -> JointTrajectories:
    """A healthy synthetic walk: metres, z up."""
    return Walk(draw_patient("somebody", "healthy", 7), seconds).trajectories(rate_hz)


def pixels(trajectories: JointTrajectories) -> FloatArray:
    """(T, J, 2) as a camera far to the side sees it: x to the right, y down."""
    seen = trajectories.positions[..., [0, 2]] * PIXELS_PER_M
    return np.stack([seen[..., 0] - np.nanmin(seen[..., 0]) + 50.0, HEIGHT_PX - 50.0 - seen[..., 1]], axis=-1)


def markers_of(trajectories: JointTrajectories, names: dict[str, str]) -> dict[str, FloatArray]:
    """Named (T, 3) tracks: side's letter and the name of the joint."""
    return {
        f"{side[0].upper()}{name}": trajectories.positions[:, JOINT_INDEX[f"{side}_{joint}"]]
        for side in SIDES
        for joint, name in names.items()
    }


def y_up(points: FloatArray) -> FloatArray:
    """Our z-up points in the axes of most laboratories' exports: x forward, y up, z to the right."""
    return np.stack([points[..., 0], points[..., 2], -points[..., 1]], axis=-1)


def write_c3d(path: Path, trajectories: JointTrajectories, *, unit: str = "mm", scale: float = 1000.0) -> Path:
    """Plug-in Gait markers, z up, millimetres; one event on each side."""
    tracks = markers_of(trajectories, PLUG_IN_GAIT)
    content = ezc3d.c3d()
    points = np.ones((4, len(tracks), trajectories.time_s.size))
    points[:3] = np.stack([track * scale for track in tracks.values()], axis=0).transpose(2, 0, 1)
    content["parameters"]["POINT"]["RATE"]["value"] = [RATE_HZ]
    content["parameters"]["POINT"]["LABELS"]["value"] = [f"Anna:{name}" for name in tracks]
    content["parameters"]["POINT"]["UNITS"]["value"] = [unit]
    content["data"]["points"] = points
    content.add_event([0.0, 0.5], "Left", "Foot Strike")
    content.add_event([0.0, 0.75], "", "RTO")
    content.write(str(path))
    return path


def write_trc(path: Path, trajectories: JointTrajectories, *, unit: str = "mm", scale: float = 1000.0) -> Path:
    """Plug-in Gait markers, y up, millimetres."""
    tracks = {name: y_up(track) * scale for name, track in markers_of(trajectories, PLUG_IN_GAIT).items()}
    count = trajectories.time_s.size
    lines = [
        f"PathFileType\t4\t(X/Y/Z)\t{path.name}",
        "DataRate\tCameraRate\tNumFrames\tNumMarkers\tUnits\tOrigDataRate\tOrigDataStartFrame\tOrigNumFrames",
        f"{RATE_HZ:g}\t{RATE_HZ:g}\t{count}\t{len(tracks)}\t{unit}\t{RATE_HZ:g}\t1\t{count}",
        "Frame#\tTime\t" + "\t\t\t".join(tracks) + "\t\t",
        "\t\t" + "\t".join(f"{axis}{number}" for number in range(1, len(tracks) + 1) for axis in "XYZ"),
        "",
    ]
    for row, seconds in enumerate(trajectories.time_s):
        cells = [f"{value:.5f}" if np.isfinite(value) else "" for track in tracks.values() for value in track[row]]
        lines.append(f"{row + 1}\t{seconds:.5f}\t" + "\t".join(cells))
    path.write_text("\n".join(lines) + "\n")
    return path


def write_motive(path: Path, trajectories: JointTrajectories) -> Path:
    """The bones of a Motive skeleton, y up, metres; each with a rotation before its position."""
    tracks = {name: y_up(track) for name, track in markers_of(trajectories, MOTIVE_BONES).items()}
    count = trajectories.time_s.size

    def row(*first: str, cells: list[str]) -> str:
        return ",".join([*first, *cells])

    bones = [f"Anna:{name}" for name in tracks for _ in range(7)]
    lines = [
        f"Format Version,1.23,Take Name,walk,Export Frame Rate,{RATE_HZ},Total Exported Frames,{count},"
        "Rotation Type,Quaternion,Length Units,Meters,Coordinate Space,Global",
        "",
        row("", "", cells=["Bone"] * len(bones)),
        row("", "", cells=bones),
        row("", "", cells=["0"] * len(bones)),
        row(
            "",
            "",
            cells=["Rotation", "Rotation", "Rotation", "Rotation", "Position", "Position", "Position"] * len(tracks),
        ),
        row("Frame", "Time (Seconds)", cells=["X", "Y", "Z", "W", "X", "Y", "Z"] * len(tracks)),
    ]
    for number, seconds in enumerate(trajectories.time_s):
        cells = []
        for track in tracks.values():
            cells += ["0", "0", "0", "1", *(f"{v:.6f}" if np.isfinite(v) else "" for v in track[number])]
        lines.append(row(str(number), f"{seconds:.6f}", cells=cells))
    path.write_text("\n".join(lines) + "\n")
    return path


_CHAIN = {"hip": "UpLeg", "knee": "Leg", "ankle": "Foot", "shoulder": "Arm", "elbow": "ForeArm", "wrist": "Hand"}


def write_bvh(path: Path, trajectories: JointTrajectories) -> Path:
    """Every joint a child of the root with position channels of its own, y up, centimetres."""
    hierarchy = ["HIERARCHY", "ROOT Hips", "{", "OFFSET 0 0 0", "CHANNELS 3 Xposition Yposition Zposition"]
    tracks = []
    for side in SIDES:
        for joint, name in _CHAIN.items():
            hierarchy += [f"JOINT {side.title()}{name}", "{", "OFFSET 0 0 0"]
            hierarchy += ["CHANNELS 3 Xposition Yposition Zposition"]
            hierarchy += ["End Site", "{", "OFFSET 0 0 0", "}", "}"] if joint != "ankle" else ["}"]
            tracks.append(y_up(trajectories.positions[:, JOINT_INDEX[f"{side}_{joint}"]]) * 100.0)
    hierarchy += ["}", "MOTION", f"Frames: {trajectories.time_s.size}", f"Frame Time: {1.0 / RATE_HZ}"]
    table = np.concatenate([np.zeros((trajectories.time_s.size, 3)), *tracks], axis=1)
    path.write_text("\n".join([*hierarchy, *(" ".join(f"{value:.6f}" for value in row) for row in table)]) + "\n")
    return path


def write_openpose(folder: Path, trajectories: JointTrajectories) -> Path:
    """BODY_25 with a second person who stands still, the two in changing order."""
    from gaitkeeper_client.pose.readers.skeletons import BODY_25

    folder.mkdir()
    points = pixels(trajectories)
    for number, frame in enumerate(points):
        people = []
        for which in (frame, points[0] + [700.0, 5.0]):
            rows = np.zeros((25, 3))
            for joint, (name,) in BODY_25.joints.items():
                if np.isfinite(which[JOINT_INDEX[joint]]).all():
                    rows[BODY_25.points.index(name)] = (*which[JOINT_INDEX[joint]], 0.9)
            people.append({"person_id": [-1], "pose_keypoints_2d": rows.ravel().tolist()})
        content = {"version": 1.3, "people": people if number % 2 else people[::-1]}
        (folder / f"walk_{number:012d}_keypoints.json").write_text(json.dumps(content))
    return folder


def dlc_columns(trajectories: JointTrajectories, individual: str | None) -> tuple[list[tuple[str, ...]], FloatArray]:
    """Names and values of a DeepLabCut table; with ``individual``, a second one who stands still comes first."""
    points = pixels(trajectories)
    scorer = ("DLC_resnet50_gait",)
    people = (
        {(): points}
        if individual is None
        else {("other",): np.repeat(points[:1], len(points), 0), (individual,): points}
    )
    names, tracks = [], []
    for person, track in people.items():
        for joint in JOINTS:
            values = track[:, JOINT_INDEX[joint]]
            seen = np.isfinite(values).all(axis=1)
            for axis, column in (("x", values[:, 0]), ("y", values[:, 1]), ("likelihood", np.where(seen, 0.95, 0.0))):
                names.append((*scorer, *person, joint, axis))
                tracks.append(column)
    return names, np.stack(tracks, axis=1)


def write_dlc(path: Path, trajectories: JointTrajectories, individual: str | None = None) -> Path:
    """A DeepLabCut CSV."""
    names, values = dlc_columns(trajectories, individual)
    heads = (
        ["scorer", "bodyparts", "coords"] if individual is None else ["scorer", "individuals", "bodyparts", "coords"]
    )
    lines = [",".join([head, *level]) for head, level in zip(heads, zip(*names, strict=True), strict=True)]
    lines += [
        ",".join([str(number), *(f"{value:.4f}" if np.isfinite(value) else "" for value in row)])
        for number, row in enumerate(values)
    ]
    path.write_text("\n".join(lines) + "\n")
    return path


def write_dlc_h5(path: Path, trajectories: JointTrajectories) -> Path:
    """A DeepLabCut H5 in the layout of pandas' ``to_hdf(format="table")``."""
    names, values = dlc_columns(trajectories, "anna")
    table = np.zeros(len(values), dtype=[("index", "<i8"), ("values_block_0", "<f8", (values.shape[1],))])
    table["index"], table["values_block_0"] = np.arange(len(values)), values
    with h5py.File(path, "w") as file:
        data = file.create_group("df_with_missing").create_dataset("table", data=table)
        data.attrs["values_block_0_kind"] = np.bytes_(pickle.dumps(names, protocol=0))
    return path


def write_landmarks(path: Path, trajectories: JointTrajectories) -> Path:
    """A landmark table, positions as shares of the picture."""
    points = pixels(trajectories) / [WIDTH_PX, HEIGHT_PX]
    names = [joint.replace("_toe", "_foot_index") for joint in JOINTS]
    lines = [",".join(["frame", "time_s", *(f"{name}_{axis}" for name in names for axis in ("x", "y", "visibility"))])]
    for number, frame in enumerate(points):
        cells = [str(number), f"{trajectories.time_s[number]:.4f}"]
        for x, y in frame:
            cells += [f"{x:.6f}", f"{y:.6f}", "0.9"] if np.isfinite(x + y) else ["", "", "0"]
        lines.append(",".join(cells))
    path.write_text("\n".join(lines) + "\n")
    return path


def write_gaitkit(path: Path, trajectories: JointTrajectories) -> Path:
    """gaitkit's JSON: millimetres, y up, three zeros where nothing was seen."""
    points = np.nan_to_num(y_up(trajectories.positions) * 1000.0).round(4)
    frames = [
        {"frame_index": number, "landmark_positions": dict(zip(JOINTS, frame.tolist(), strict=True))}
        for number, frame in enumerate(points)
    ]
    truth = {"hs_frames": {"left": [50], "right": []}, "to_frames": {"left": [], "right": [75]}}
    path.write_text(json.dumps({"fps": RATE_HZ, "angle_frames": frames, "ground_truth": truth}))
    return path


WRITERS: dict[str, tuple[str, Callable[[Path, JointTrajectories], Path]]] = {
    "c3d": ("walk.c3d", write_c3d),
    "trc": ("walk.trc", write_trc),
    "bvh": ("walk.bvh", write_bvh),
    "gaitkit-json": ("walk.json", write_gaitkit),
    "motive-csv": ("walk_motive.csv", write_motive),
    "openpose": ("openpose", write_openpose),
    "deeplabcut": ("walk_dlc.csv", write_dlc),
    "deeplabcut-several": ("walk_several.csv", lambda path, walk: write_dlc(path, walk, "anna")),
    "deeplabcut-h5": ("walk_dlc.h5", write_dlc_h5),
    "landmark-csv": ("walk_landmarks.csv", write_landmarks),
}
