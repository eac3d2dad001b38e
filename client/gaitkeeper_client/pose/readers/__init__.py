"""Readers of keypoints that other programs found: OpenPose, DeepLabCut, MediaPipe tables."""
