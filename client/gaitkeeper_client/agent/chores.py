"""What a running site does beside its rounds: it tests the explanations of a new release and empties the outbox.

Each chore is a process of its own, started when there is something to do, at the kernel's lowest priority
(:mod:`.chore`), so that a round or an analysis has the processor whenever it wants it. A chore that is not done by its
deadline is ended and tried again later; nothing that it did is lost by that.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, get_args

from gaitkeeper_client.consortium.release_store import read_pointer
from gaitkeeper_client.exchange.outbox import Outbox
from gaitkeeper_client.exchange.server import fhir_server
from gaitkeeper_client.vault.home import SiteHome
from gaitkeeper_shared.durable import write_durably
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.processes import ChildSpec, Supervisor

ChoreName = Literal["certify", "send"]
ChoreState = Literal["running", "done", "nothing", "failed"]
CHORES: tuple[ChoreName, ...] = get_args(ChoreName)
DEADLINES_S: Mapping[ChoreName, float] = {"certify": 3600.0, "send": 900.0}
AGAIN_S: Mapping[ChoreName, float] = {"certify": 3600.0, "send": 60.0}
"""After a failure; for ``send`` also the least time between two runs."""
AGAIN_KILLED_S = 300.0
"""After a chore's process was killed, by whom or what ever: it said nothing against being tried again."""
_HEAD = "personal-head.sealed"
"""The site's own head, of :mod:`gaitkeeper_client.vault.personal`; here it is only looked at whether it changed."""
FIRST_S = 20.0
"""A site that just started has more important things to do."""
LOOK_S = 5.0
REVISIT_S = 600.0
"""So often it is looked whether a clinician signed something about a report that was delivered before."""


@dataclass(frozen=True, slots=True)
class ChoreStatus:
    """How a chore stands. ``at``: UTC, ISO 8601, of the last change; ``detail``: what came of it, in words."""

    name: ChoreName
    state: ChoreState
    at: str
    detail: str


def keep_status(home: SiteHome, status: ChoreStatus) -> None:
    """Write down how a chore stands, durably. Raises ``disk-full``."""
    write_durably(_path(home, status.name), json.dumps(asdict(status)).encode("utf-8"))


def chore_status(home: SiteHome, name: ChoreName) -> ChoreStatus | None:
    """How a chore stands; None where it never ran, or nothing readable was left of it."""
    try:
        return ChoreStatus(**json.loads(_path(home, name).read_bytes()))
    except (OSError, ValueError, TypeError):
        return None


def _path(home: SiteHome, name: ChoreName) -> Path:
    return home.run / f"chore-{name}.json"


@dataclass(slots=True)
class _Turn:
    """``next_at``: not before (monotonic); ``begun_at``: of the running one; ``seen``: what the last one was for."""

    next_at: float
    begun_at: float | None = None
    seen: object = None


def _changed_at(path: Path) -> int:
    """When a file was last written, in nanoseconds; 0 where there is none."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


class Chores:
    """The chores of a running site. Call :meth:`tick` a few times a second, from one thread, and :meth:`close`."""

    def __init__(
        self,
        home: SiteHome,
        passphrase: str | None,
        *,
        clock: Callable[[], float] = time.monotonic,
        deadlines_s: Mapping[ChoreName, float] = DEADLINES_S,
        first_s: float = FIRST_S,
        again_killed_s: float = AGAIN_KILLED_S,
    ) -> None:
        self._home, self._clock, self._deadlines_s = home, clock, deadlines_s
        self._again_killed_s = again_killed_s
        self._settings = {"home": str(home.path)} | ({} if passphrase is None else {"passphrase": passphrase})
        self._children = Supervisor()
        self._turns = {name: _Turn(clock() + first_s) for name in CHORES}
        self._revisit_at = 0.0
        for name in CHORES:
            if (told := chore_status(home, name)) is not None and told.state == "running":
                self._tell_failed(name, "the site was stopped in the middle of it")

    def tick(self) -> None:
        """Begin what is due, and see to what runs."""
        self._children.tick()
        for name, turn in self._turns.items():
            if turn.begun_at is not None:
                self._see_to(name, turn, turn.begun_at)
            elif self._clock() >= turn.next_at:
                turn.next_at = self._clock() + LOOK_S
                self._begin_if_due(name, turn)

    def close(self) -> None:
        """End what runs."""
        self._children.stop()

    def _begin_if_due(self, name: ChoreName, turn: _Turn) -> None:
        try:
            wanted = self._release() if name == "certify" else self._post()
        except (GaitkeeperError, OSError):
            return  # 'site status' and 'site doctor' say what is wrong with releases and outbox
        if wanted is None or (name == "certify" and wanted == turn.seen):
            return
        turn.seen, turn.begun_at = wanted, self._clock()
        log = self._home.logs / f"chore-{name}.log"
        settings = {**self._settings, "chore": name}
        self._children.add(ChildSpec(name, "gaitkeeper_client.agent.chore", settings, log, restart=False))

    def _see_to(self, name: ChoreName, turn: _Turn, begun_at: float) -> None:
        ended = self._children.ended(name)
        late = ended is None and self._clock() - begun_at > self._deadlines_s[name]
        if ended is None and not late:
            return
        self._children.remove(name)
        turn.begun_at = None
        killed = ended is not None and ended < 0
        again_s = self._again_killed_s if killed else AGAIN_S[name]
        turn.next_at = self._clock() + (again_s if ended != 0 or name == "send" else LOOK_S)
        if ended != 0:
            turn.seen = None
        if late:
            self._tell_failed(name, f"it was not done after {self._deadlines_s[name] / 60.0:.0f} minutes")
        elif ended is not None and killed:
            self._tell_failed(name, f"its process was ended by signal {-ended}")
        elif ended != 0 and ((told := chore_status(self._home, name)) is None or told.state != "failed"):
            self._tell_failed(
                name, f"its process ended with status {ended}; {self._home.logs}/chore-{name}.log says why"
            )

    def _tell_failed(self, name: ChoreName, why: str) -> None:
        """What a process that is not there any more cannot say itself."""
        from gaitkeeper_client.agent.chore import failed

        try:
            failed(self._home, name, why)
        except GaitkeeperError:
            return  # a full disk: the next try says more

    def _release(self) -> object | None:
        """What the explanations would be tested of: the release that is active, and the site's own head."""
        pointer = read_pointer(self._home)
        return (
            None if pointer is None else (pointer.version, pointer.activated_at, _changed_at(self._home.vault / _HEAD))
        )

    def _post(self) -> object | None:
        """Whether something has to be sent, as far as it is known without opening the vault."""
        outbox = Outbox.of(self._home)
        if not outbox.path.exists():
            return None
        fhir_server(self._home)
        if outbox.due(time.time()):
            return True
        if self._clock() >= self._revisit_at and any(post.state == "delivered" for post in outbox.posts()):
            self._revisit_at = self._clock() + REVISIT_S
            return True
        return None
