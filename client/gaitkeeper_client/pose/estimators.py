"""Which network looks at a video: the choice, and what it opens."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gaitkeeper_client.pose.base import PoseEstimator


@dataclass(frozen=True, slots=True)
class EstimatorChoice:
    """``network``: an ONNX file of the site, else BlazePose through MediaPipe. ``skeleton``: the points it delivers, a
    name of :data:`~gaitkeeper_client.pose.skeletons.OF_NETWORKS`; where None, their number tells.
    """

    network: Path | None = None
    skeleton: str | None = None


BLAZEPOSE = EstimatorChoice()


def open_estimator(choice: EstimatorChoice = BLAZEPOSE) -> PoseEstimator:
    """The estimator, to be entered as a context. Raises what :class:`~.onnx_network.PoseNetwork` raises."""
    from gaitkeeper_client.pose.mediapipe_pose import MediaPipePose

    if choice.network is None:
        return MediaPipePose()
    from gaitkeeper_client.pose.onnx_network import PoseNetwork
    from gaitkeeper_client.pose.onnx_pose import OnnxPose

    return OnnxPose(PoseNetwork(choice.network, choice.skeleton), MediaPipePose())
