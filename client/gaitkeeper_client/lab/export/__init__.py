"""Writers: a recording's cleaned trajectories, angles and events in the formats of other programs."""
