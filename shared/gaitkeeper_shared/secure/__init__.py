"""Secure aggregation: what coordinator and sites say to each other so that only the sum of all updates can be read.

Bonawitz et al. 2017, doi:10.1145/3133956.3133982, in the variant for a coordinator that does not keep to the protocol:
signed keys, and agreement on who is in the sum before anything is unmasked.
"""
