"""Kinematic events and angles against what a laboratory measured: force plates, its own events, its own angles."""
