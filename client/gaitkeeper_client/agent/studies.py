"""What the running site needs of studies; they are kept and checked in :mod:`gaitkeeper_client.consortium`."""

from __future__ import annotations

from gaitkeeper_client.consortium.studies import Offer, Offers, approved_study, known_offers

__all__ = ["Offer", "Offers", "approved_study", "known_offers"]
