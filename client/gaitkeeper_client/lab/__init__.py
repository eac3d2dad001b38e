"""Readers of a laboratory's files: each makes joint trajectories of outside bytes, or says what is wrong."""
