"""A run is asked for: the study checked, the sites counted, the untrained weights drawn, all entered in one step."""

from __future__ import annotations

import errno
import math
import secrets
from datetime import UTC, datetime

from gaitkeeper_server.enrolment.studies import signed_study
from gaitkeeper_server.home import CoordinatorHome
from gaitkeeper_server.rounds.journal import Journal
from gaitkeeper_server.rounds.members import taking_part
from gaitkeeper_server.rounds.states import RunRecord
from gaitkeeper_server.store import CoordinatorStore
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.privacy.calibration import check_calibration
from gaitkeeper_shared.privacy.plan import plan
from gaitkeeper_shared.study import Study


def request_run(home: CoordinatorHome, journal: Journal, which: str) -> RunRecord:
    """Enter a run of the signed study ``which`` (path, name or hash) for the members that it lists, or for the sites
    that are enrolled now.

    Raises ``study-*``, ``signature-*``, ``run-infinite-epsilon``, ``no-sites``, ``required-not-enrolled``,
    ``quorum-impossible``, ``secure-threshold``, ``privacy-unreachable``, ``calibration-noise`` or
    ``model-start-missing``.
    """
    try:
        signed = signed_study(home, which)
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        # The name of its signatures is longer still: no file can be called like that, and no study is.
        raise GaitkeeperError("study-not-signed", study=f"{which[:80]}...") from error
    study = signed.study
    if not math.isfinite(study.privacy.epsilon):
        raise GaitkeeperError("run-infinite-epsilon", study=study.name)
    there = taking_part(study, CoordinatorStore(home.store).enrolled_sites())
    if not there:
        raise GaitkeeperError("no-sites")
    if missing := study.federation.missing_required(set(there)):
        raise GaitkeeperError("required-not-enrolled", missing=", ".join(missing))
    if len(there) < study.federation.quorum:
        raise GaitkeeperError("quorum-impossible", quorum=study.federation.quorum, enrolled=len(there))
    # A listed member that is not there is absent from each round, rather than from the record.
    sites = sorted(study.federation.sites) or there
    check_one_sum_only(study, len(sites))
    check_calibration(study, plan(study))

    from gaitkeeper_server.pretraining.start import first_weights, registered_start
    from gaitkeeper_server.registry import Registry
    from gaitkeeper_shared.models.spec import ModelSpec

    start = registered_start(Registry(home), study, signed.hash)
    initial = first_weights(ModelSpec.of(study, signed.hash), None if start is None else start[1])
    run = f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"
    return journal.request_run(run, signed.data, sites, initial)


def check_one_sum_only(study: Study, sites: int) -> None:
    """Sites refuse a masked round in which two different sums could be opened (``MaskingRules.one_sum_only``)."""
    threshold, colluding = study.federation.shares_needed, study.privacy.colluding
    if study.federation.secure and 2 * threshold <= sites + colluding:
        needed = (sites + colluding) // 2 + 1
        raise GaitkeeperError("secure-threshold", sites=sites, threshold=threshold, colluding=colluding, needed=needed)
