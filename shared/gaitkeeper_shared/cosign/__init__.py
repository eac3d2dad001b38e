"""Further signatures of a consortium: people at its members who sign studies and releases beside the coordinator."""
