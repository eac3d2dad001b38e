"""The process of MediaPipe alone: PoseLandmarker on every frame of a video, as its own guide has it; nothing kept."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from tests.bench.video import RATE_HZ, peak_mib

from gaitkeeper_client.pose.weights import pose_task_path


def run(path: Path) -> None:
    """Decode, convert, detect, one frame after the other."""
    import cv2
    import mediapipe
    from mediapipe.tasks.python import BaseOptions, vision

    options = vision.PoseLandmarkerOptions(
        base_options=BaseOptions(model_asset_path=str(pose_task_path())), running_mode=vision.RunningMode.VIDEO
    )
    frames, seen, in_calls = 0, 0, 0.0
    with vision.PoseLandmarker.create_from_options(options) as landmarker:
        video = cv2.VideoCapture(str(path))
        started = time.perf_counter()
        while (read := video.read())[0]:
            image = mediapipe.Image(mediapipe.ImageFormat.SRGB, cv2.cvtColor(read[1], cv2.COLOR_BGR2RGB))
            called = time.perf_counter()
            result = landmarker.detect_for_video(image, round(1000.0 * frames / RATE_HZ))
            in_calls += time.perf_counter() - called
            frames += 1
            seen += bool(result.pose_landmarks)
        loop = time.perf_counter() - started
    print(json.dumps({"frames": frames, "seen": seen, "loop_s": loop, "calls_s": in_calls}))
    print(peak_mib())


if __name__ == "__main__":
    run(Path(sys.argv[1]))
