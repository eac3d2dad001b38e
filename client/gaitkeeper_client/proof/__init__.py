"""Proof: the promises of privacy put to the test on the code that trains."""
