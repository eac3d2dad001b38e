"""A site's ties to its consortium: enrolment, the studies it agreed to, the releases it runs."""
