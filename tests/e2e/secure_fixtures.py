"""A deployment whose sites mask: keys and certificates of a real consortium, executors that make training up."""

from __future__ import annotations

import os

from cryptography import x509
from tests.e2e.federation_fixtures import ROOT, Deployment
from tests.unit.rounds_fixtures import weights

from gaitkeeper_shared.durable import write_durably
from gaitkeeper_shared.trust.certificates import new_request, pem
from gaitkeeper_shared.trust.keys import new_tls_key, private_pem

SITES = ("clinic-a", "clinic-b", "clinic-c", "clinic-d")
STUDY = b"""
name = "masked-rounds"
[task]
labels = ["healthy", "patient"]
[input]
channels = ["hip_flexion_left"]
[training]
rounds = ROUNDS
[privacy]
epsilon = 5.0
delta = 1e-5
clip_norm = 1.0
sample_rate = 0.5
patients_per_site = 10
[evaluation]
holdout = 0.0
[federation]
quorum = 3
deadline_s = DEADLINE
stage_deadline_s = DEADLINE
"""


class SecureDeployment(Deployment):
    """A SuperLink and four sites that mask."""

    def start(self) -> None:
        """Enrol and start everything, and wait until it is up."""
        os.environ["MASKED_FOLDER"] = str(self.folder)
        os.environ["PYTHONPATH"] = str(ROOT)
        keys = {site: self.enrol(site) for site in SITES}
        for site in SITES:
            self._certify(site)
        self.start_superlink()
        for site, key in keys.items():
            self.start_site(site, key)
        ready = [key.with_name(name) for key in keys.values() for name in ("executor.ready", "node.ready")]
        self.wait(lambda: all(path.exists() for path in ready), 120)

    def _certify(self, site: str) -> None:
        key = new_tls_key()
        request = x509.load_pem_x509_csr(new_request(key, site))
        folder = self.folder / site
        write_durably(folder / "site.key", private_pem(key))
        write_durably(folder / "site.crt", pem(self.home.authority().issue_site(request, site)))
        write_durably(folder / "root.crt", self.home.root_certificate.read_bytes())

    def application_of(self, site: str) -> str:
        """Each site's own: it masks with that site's keys."""
        return f"tests.e2e.masked_application:{site}"

    def start_masked_run(self, run: str, rounds: int, deadline_s: float) -> None:
        """Enter a run of a secure study and start its conductor."""
        study = STUDY.replace(b"ROUNDS", b"%d" % rounds).replace(b"DEADLINE", b"%.1f" % deadline_s)
        (self.folder / "study.toml").write_bytes(study)
        self.journal.request_run(run, study, SITES, weights())
        self.start_conductor(run)
