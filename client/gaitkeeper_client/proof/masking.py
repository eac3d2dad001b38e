"""What the coordinator sees of one site in a masked round: the site's own masking, and a guess through it.

The hardest case for the masks: the canary is in every step and the update carries no noise at all. Then nothing but the
masks stands between the coordinator and the patient, and what is claimed of a masked update is an epsilon of 0.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from cryptography import x509

from gaitkeeper_client.proof.canary import Target, update_of
from gaitkeeper_client.training.masked_attempt import MaskedAttempt, MaskingRules
from gaitkeeper_shared.arrays import FloatArray
from gaitkeeper_shared.secure.arithmetic import FRACTION_BITS, Vector, encode
from gaitkeeper_shared.secure.identity import Membership, SiteIdentity
from gaitkeeper_shared.secure.statements import Place
from gaitkeeper_shared.trust.certificates import Authority, new_request, pem
from gaitkeeper_shared.trust.keys import new_tls_key

SITES = ("site-a", "site-b", "site-c")


@dataclass(frozen=True, slots=True)
class Consortium:
    """Three sites with certificates of one root, made for the audit and kept nowhere."""

    membership: Membership
    identities: tuple[SiteIdentity, ...]

    @classmethod
    def fresh(cls) -> Consortium:
        """New keys for everybody."""
        root = Authority.create("audit")
        identities = []
        for site in SITES:
            key = new_tls_key()
            request = x509.load_pem_x509_csr(new_request(key, site))
            identities.append(SiteIdentity(site, pem(root.issue_site(request, site)), key))
        return cls(Membership(root.certificate), tuple(identities))

    def masked(self, vector: Vector, number: int) -> Vector:
        """What the first site sends in attempt ``number``: keys, shares and masks as in any round."""
        place, rules = Place("0" * 64, "audit", 1, number), MaskingRules(quorum=2, threshold=3, colluding=0)
        attempts = [MaskedAttempt(place, rules, one, self.membership) for one in self.identities]
        adverts = tuple(attempt.advert for attempt in attempts)
        deals = [attempt.deal(adverts) for attempt in attempts]
        attempts[0].accept([deal.for_peer(SITES[0]) for deal in deals])
        return attempts[0].masked(vector, model="")


def guess(attacked: Target, sites: Consortium | None, number: int, *, present: bool) -> float:
    """How far the update that the coordinator takes it for lies along the canary's gradient; ``sites``: None where
    masking is off."""
    steps = replace(attacked.steps, noise_multiplier=0.0, sample_rate=1.0)
    vector = encode({"update": update_of(attacked, steps, present=present).astype(np.float32)})
    seen = vector if sites is None else sites.masked(vector, number)
    values: FloatArray = seen.view(np.int64).astype(np.float64) / 2.0**FRACTION_BITS
    return float(values @ attacked.gradient)
