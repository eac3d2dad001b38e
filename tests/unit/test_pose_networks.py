"""Pose networks from ONNX files: points at known places come back there, and a wrong file is named as such."""

from __future__ import annotations

import hashlib
from pathlib import Path
from types import TracebackType

import cv2
import numpy as np
import onnx_fixtures as onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gaitkeeper_client.pose.base import EstimatorIdentity, PersonPose
from gaitkeeper_client.pose.crop import Crop
from gaitkeeper_client.pose.heads import decode_heatmaps, decode_simcc
from gaitkeeper_client.pose.onnx_network import PoseNetwork
from gaitkeeper_client.pose.onnx_pose import OnnxPose
from gaitkeeper_client.pose.skeletons import OF_NETWORKS
from gaitkeeper_shared.arrays import FloatArray
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.skeleton import JOINT_INDEX, JOINTS

SIZE = (96, 128)


def picture(points: FloatArray, size: tuple[int, int] = (640, 480), radius: float = 9.0) -> np.ndarray:
    """An RGB picture with one dot per point in its colour, on grey; drawn to a sixteenth of a pixel."""
    image = np.full((size[1], size[0], 3), 128, dtype=np.uint8)
    for (x, y), colour in zip(points, onnx.colours(len(points)), strict=True):
        at = (round(16 * float(x)), round(16 * float(y)))
        cv2.circle(image, at, round(16 * radius), [int(c) for c in colour], -1, cv2.LINE_AA, 4)
    return image


def scattered(count: int) -> FloatArray:
    """Points in a tall box around (300, 240), none near another."""
    random = np.random.default_rng(3)
    places = [(x, y) for y in np.linspace(60, 420, 19) for x in np.linspace(190, 410, 7)]
    chosen = random.permutation(len(places))[:count]
    return np.array([places[i] for i in chosen]) + random.uniform(-3, 3, (count, 2))


@pytest.mark.parametrize("name", ["coco-17", "halpe-26", "body-25", "blazepose-33"])
@pytest.mark.parametrize("head", ["simcc", "heatmap", "heatmap-udp"])
def test_points_come_back_where_they_are(tmp_path: Path, name: str, head: onnx.Head) -> None:
    count = len(OF_NETWORKS[name].points)
    path = onnx.dot_network(tmp_path / "net.onnx", count, head, (192, 256))
    if head == "heatmap-udp":
        path.with_suffix(".toml").write_text('heatmap = "udp"\n')
    network = PoseNetwork(path)
    truth = scattered(count)
    crop = Crop.around(np.array([300.0, 240.0]), np.array([250.0, 430.0]), network.size)
    points, confidence = network.points(picture(truth, radius=6.0), crop)
    error = np.linalg.norm(points - truth, axis=1)
    assert network.skeleton is OF_NETWORKS[name]
    assert error.max() < 1.5, "the crop has 1.7 pixels of the picture per pixel of the network"
    assert error.mean() < 0.5
    assert confidence.min() > 0.1


@settings(max_examples=40, deadline=None)
@given(st.floats(4.0, 90.0), st.floats(4.0, 122.0), st.floats(1.5, 3.0))
def test_the_top_of_a_gaussian_is_found_between_the_pixels(x: float, y: float, sigma: float) -> None:
    rows, columns = np.mgrid[0:128, 0:96]
    heatmap = np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * sigma**2))[None]
    points, confidence = decode_heatmaps(heatmap, (96, 128))
    assert np.abs(points - [x, y]).max() < 0.06
    assert confidence[0] > 0.8
    bins_x = np.exp(-((np.arange(192) / 2 - x) ** 2) / (2 * sigma**2))[None]
    bins_y = np.exp(-((np.arange(256) / 2 - y) ** 2) / (2 * sigma**2))[None]
    points, _ = decode_simcc(bins_x, bins_y, (96, 128))
    assert np.abs(points - [x, y]).max() < 0.03


def test_a_flat_heatmap_or_one_at_the_border_stays_inside() -> None:
    heatmaps = np.zeros((2, 16, 12))
    heatmaps[1, 0, 11] = 1.0
    points, confidence = decode_heatmaps(heatmaps, (48, 64))
    assert np.isfinite(points).all()
    assert points[1] == pytest.approx([44.0, 0.0])
    assert confidence.tolist() == [0.0, 1.0]


@settings(max_examples=40, deadline=None)
@given(
    st.tuples(st.floats(-50, 700), st.floats(-50, 500)),
    st.tuples(st.floats(0, 600), st.floats(20, 900)),
    st.sampled_from([(192, 256), (96, 128), (288, 384), (256, 256)]),
)
def test_a_crop_holds_its_box_and_leads_back(
    center: tuple[float, float], extent: tuple[float, float], size: tuple[int, int]
) -> None:
    crop = Crop.around(np.array(center), np.array(extent), size)
    corners = np.array([[0.0, 0.0], [size[0], size[1]], [size[0] / 2, size[1] / 2]])
    back = crop.back(corners)
    assert back[2] == pytest.approx(center, abs=1e-6)
    assert (back[1] - back[0] >= np.array(extent) - 1e-6).all()
    width, height = back[1] - back[0]
    assert width / height == pytest.approx(size[0] / size[1]), "a picture that is squeezed gives wrong angles"


@pytest.mark.parametrize("scale", [0.5, 1.0, 1.7, 3.3, 5.0])
def test_what_is_cut_out_is_what_leads_back(scale: float) -> None:
    """The middle of a blurred dot in the crop, led back, is the dot's middle in the picture: no half pixels lost."""
    image = np.zeros((900, 900, 3), dtype=np.uint8)
    at = (437.25, 512.5)
    cv2.circle(image, (round(16 * at[0]), round(16 * at[1])), 16 * 30, (255, 255, 255), -1, cv2.LINE_AA, 4)
    crop = Crop(np.array([420.0, 500.0]), scale * np.array([96.0, 128.0]), (96, 128))
    seen = crop.cut(image)[..., 0].astype(np.float64)
    rows, columns = np.mgrid[0 : seen.shape[0], 0 : seen.shape[1]]
    middle = np.array([(seen * columns).sum(), (seen * rows).sum()]) / seen.sum()
    if scale >= 1.0:  # the whole dot is inside
        assert crop.back(middle[None])[0] == pytest.approx(at, abs=0.06 * scale)
    assert seen.max() > 250


class DotFinder:
    """Finds the one person of a test's picture: it is told where."""

    identity = EstimatorIdentity("told", "none", "")

    def __init__(self, pose: PersonPose | None) -> None:
        self.pose = pose
        self.open = False

    def __enter__(self) -> DotFinder:
        self.open = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.open = False

    def find(self, image: np.ndarray) -> tuple[PersonPose, ...]:
        return (self.pose,) if self.pose is not None else ()

    def follower(self) -> None:
        raise AssertionError("the network follows, not the finder")


BODY = {
    "nose": (0, 20), "shoulder": (30, 80), "elbow": (45, 140), "wrist": (50, 200), "hip": (22, 205), "knee": (30, 300),
    "ankle": (36, 390),
}  # fmt: skip


def body(name: str) -> tuple[FloatArray, FloatArray]:
    """A standing figure's points on a skeleton, and our joints of it; other points lie far off."""
    skeleton = OF_NETWORKS[name]
    points = np.array([[40.0 * (i % 12) + 20, 30.0 + 20 * (i // 12)] for i in range(len(skeleton.points))])
    ours = np.full((len(JOINTS), 2), np.nan)
    for joint, (own,) in skeleton.joints.items():
        side, _, part = joint.partition("_")
        part = part or side
        if part in ("heel", "toe"):
            place = np.array([34.0 if part == "heel" else 58.0, 412.0])
        else:
            place = np.array(BODY[part], dtype=np.float64)
        place = np.array([320.0, 40.0]) + place * ([-1, 1] if side == "left" else [1, 1])
        points[skeleton.points.index(own)] = ours[JOINT_INDEX[joint]] = place
    return points, ours


@pytest.mark.parametrize("name", ["coco-17", "halpe-26", "body-25", "blazepose-33"])
def test_an_estimator_gives_the_houses_joints(tmp_path: Path, name: str) -> None:
    points, ours = body(name)
    network = PoseNetwork(onnx.dot_network(tmp_path / "net.onnx", len(points), "simcc", (192, 256)), name)
    rough = PersonPose(ours + 12.0, np.ones(len(JOINTS)))
    with OnnxPose(network, finder := DotFinder(rough)) as estimator:
        assert finder.open
        (found,) = estimator.find(picture(points, radius=6.0))
        # A cut-out as the house makes it: 1.8 body sizes, the body in its middle.
        image = np.full((700, 700, 3), 128, dtype=np.uint8)
        image[110:590, 30:670] = picture(points, radius=6.0)
        followed = estimator.follower().follow(image, 0.033)
    assert not finder.open
    missing = ~np.isfinite(ours[:, 0])
    assert np.array_equal(np.isfinite(found.points[:, 0]), ~missing)
    assert missing.sum() == (4 if name == "coco-17" else 0), "COCO's body has no feet"
    assert np.nanmax(np.abs(found.points - ours)) < 2.5
    assert followed is not None
    assert np.nanmax(np.abs(followed.points - [30.0, 110.0] - ours)) < 2.5
    assert (found.confidence[missing] == 0.0).all()


def test_nobody_is_nobody(tmp_path: Path) -> None:
    network = PoseNetwork(onnx.dot_network(tmp_path / "net.onnx", 17, "simcc"), "coco-17")
    grey = np.full((480, 640, 3), 128, dtype=np.uint8)
    rough = PersonPose(body("coco-17")[1], np.ones(len(JOINTS)))
    with OnnxPose(network, DotFinder(rough)) as estimator:
        assert estimator.find(grey) == ()
        assert estimator.follower().follow(grey, 0.033) is None
    with OnnxPose(network, DotFinder(None)) as estimator:
        assert estimator.find(grey) == ()


def test_what_is_recorded_is_the_file_that_ran(tmp_path: Path) -> None:
    path = onnx.dot_network(tmp_path / "rtmpose-x.onnx", 26, "simcc")
    identity = OnnxPose(PoseNetwork(path), DotFinder(None)).identity
    assert identity == EstimatorIdentity("rtmpose-x", "halpe-26", hashlib.sha256(path.read_bytes()).hexdigest())


def test_a_card_says_what_the_file_does_not(tmp_path: Path) -> None:
    """A network of any input size that wants BGR: without its card it sees nothing of it."""
    path = onnx.dot_network(tmp_path / "net.onnx", 17, "heatmap", (96, 128), free=True, order=-1)
    path.with_suffix(".toml").write_text(
        'colour = "bgr"\ninput_size = [96, 128]\nskeleton = "coco-17"\npadding = 1.1\n'
        "mean = [123.675, 116.28, 103.53]\nstd = [58.395, 57.12, 57.375]\n"
    )
    network = PoseNetwork(path)
    assert network.size == SIZE
    truth = scattered(17)
    crop = Crop.around(np.array([300.0, 240.0]), np.array([250.0, 430.0]), network.size)
    points, _ = network.points(picture(truth, radius=12.0), crop)
    assert np.linalg.norm(points - truth, axis=1).max() < 4.0
    path.with_suffix(".toml").write_text("input_size = [96, 128]\n")
    points, _ = PoseNetwork(path).points(picture(truth, radius=12.0), crop)
    assert np.linalg.norm(points - truth, axis=1).max() > 20.0


def wrong(folder: Path) -> dict[str, tuple[Path, str | None, str]]:
    good = onnx.dot_network(folder / "good.onnx", 17, "simcc")
    (folder / "empty.onnx").touch()
    (folder / "text.onnx").write_text("this is no network\n" * 30)
    (folder / "cut.onnx").write_bytes(good.read_bytes()[:-900])
    ten = onnx.dot_network(folder / "ten.onnx", 10, "heatmap")
    return {
        "missing": (folder / "none.onnx", None, "pose-network-missing"),
        "folder": (folder, None, "pose-network-unreadable"),
        "empty": (folder / "empty.onnx", None, "pose-network-unreadable"),
        "text": (folder / "text.onnx", None, "pose-network-unreadable"),
        "cut": (folder / "cut.onnx", None, "pose-network-unreadable"),
        "weights elsewhere": (
            onnx.network_with_weights_elsewhere(folder / "split.onnx", folder / "split.bin"),
            None,
            "pose-network-unreadable",
        ),
        "a classifier": (onnx.identity_network(folder / "class.onnx", [(1, 1000)]), None, "pose-network-heads"),
        "a detector": (
            onnx.identity_network(folder / "detector.onnx", [(1, 300, 4), (1, 300), (1, 300)]),
            None,
            "pose-network-heads",
        ),
        "x and y exchanged": (
            onnx.identity_network(folder / "xy.onnx", [(1, 17, 256), (1, 17, 192)]),
            None,
            "pose-network-heads",
        ),
        "no picture": (
            onnx.network_of_inputs(folder / "vector.onnx", {"input": [1, 128]}),
            None,
            "pose-network-input",
        ),
        "two inputs": (
            onnx.network_of_inputs(folder / "two.onnx", {"input": [1, 3, 32, 32], "boxes": [1, 4]}),
            None,
            "pose-network-input",
        ),
        "bytes": (
            onnx.network_of_inputs(folder / "bytes.onnx", {"input": [1, 3, 32, 32]}, kind=2),
            None,
            "pose-network-input",
        ),
        "grey": (onnx.network_of_inputs(folder / "grey.onnx", {"input": [1, 1, 32, 32]}), None, "pose-network-input"),
        "other skeleton": (good, "halpe-26", "pose-network-joints"),
        "unknown skeleton": (good, "coco-18", "pose-network-skeleton"),
        "unknown number": (ten, None, "pose-network-joints-unknown"),
    }


CASES = (
    "missing", "folder", "empty", "text", "cut", "weights elsewhere", "a classifier", "a detector",
    "x and y exchanged", "no picture", "two inputs", "bytes", "grey", "other skeleton", "unknown skeleton",
    "unknown number",
)  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_each_wrong_network_has_its_error(tmp_path: Path, name: str, capfd: pytest.CaptureFixture[str]) -> None:
    path, skeleton, code = wrong(tmp_path)[name]
    with pytest.raises(GaitkeeperError) as caught:
        PoseNetwork(path, skeleton)
    assert caught.value.code == code
    assert caught.value.exit_status == 2
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    "text",
    [
        "mean = [1, 2]", "std = [0, 1, 1]", 'colour = "grey"', "input_size = [8, 8]", "padding = 0.5", "skeleton = 3",
        "sigma = 2", "not toml", 'heatmap = "dark"', "mean = [nan, 1, 1]", "input_size = [true, 256]",
    ],
)  # fmt: skip
def test_a_card_with_a_mistake_is_refused(tmp_path: Path, text: str) -> None:
    path = onnx.dot_network(tmp_path / "net.onnx", 17, "simcc")
    path.with_suffix(".toml").write_text(text)
    with pytest.raises(GaitkeeperError) as caught:
        PoseNetwork(path)
    assert caught.value.code == "pose-network-card"


def test_every_skeleton_feeds_our_joints() -> None:
    for name, skeleton in OF_NETWORKS.items():
        assert len(set(skeleton.points)) == len(skeleton.points), name
        assert all(own in skeleton.points for names in skeleton.joints.values() for own in names), name
        assert {*JOINTS} - {*skeleton.joints} <= {j for j in JOINTS if j.endswith(("heel", "toe"))}, name
    # Places that the data sets' own definitions give, so that no list can slip by one unnoticed.
    for name, index, point in [
        ("coco-17", 16, "right_ankle"), ("halpe-26", 20, "left_big_toe"), ("halpe-26", 21, "right_big_toe"),
        ("halpe-26", 24, "left_heel"), ("body-25", 8, "mid_hip"), ("body-25", 24, "right_heel"),
        ("blazepose-33", 32, "right_foot_index"), ("coco-wholebody-133", 17, "left_big_toe"),
        ("coco-wholebody-133", 22, "right_heel"), ("coco-wholebody-133", 91, "left_hand_0"),
    ]:  # fmt: skip
        assert OF_NETWORKS[name].points[index] == point
