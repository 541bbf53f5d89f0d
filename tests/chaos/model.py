"""The model: what a task does, said once more in the simplest way, by one thread that never fails.

Each operation answers with the states that the task passes through. Undisturbed the real one must
end in the last of them; disturbed it may stop at any.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from tests.chaos.world import COST

CENT = 10_000  # micros
ATTEMPTS = 3
LIVE = ("queued", "running")


@dataclass(frozen=True, kw_only=True)
class State:
    """What a task has come to."""

    status: str = "queued"
    attempts: int = 0
    charged: int = 0  # cents


@dataclass(kw_only=True)
class Known:
    """A task, and what the model was told about its times."""

    id: str
    do: str
    budget: int  # cents
    on_account: bool
    deadline: int  # microseconds, as are all times
    state: State = field(default_factory=State)
    lease: int = 0
    wake: int = 0
    redriven_as: str | None = None

    @property
    def live(self) -> bool:
        """It has not ended."""
        return self.state.status in LIVE

    @property
    def used(self) -> int:
        """Cents of its account that it holds, or has cost."""
        return self.budget if self.live else self.state.charged


@dataclass(frozen=True, kw_only=True)
class Result:
    """What a message on `results` says."""

    task: str
    attempt: int
    status: str
    refused: bool


@dataclass
class Model:
    """All tasks, their keys, and the account `team`."""

    limit: int  # cents
    tasks: dict[str, Known] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)  # task ids

    @property
    def used(self) -> int:
        """Cents that the account's tasks hold or have cost."""
        return sum(task.used for task in self.tasks.values() if task.on_account)

    def dispatch(self, key: str, do: str, budget: int, on_account: bool) -> int | None:
        """The status of the answer; None where the money decides."""
        if key in self.keys:
            first = self.tasks[self.keys[key]]
            same = (first.do, first.budget, first.on_account) == (do, budget, on_account)
            return 202 if same else 422
        return None if on_account else 202

    def delivered(self, id_: str, now: int) -> list[State]:
        """A message on `tasks`."""
        task = self.tasks[id_]
        before = task.state
        leased = before.status == "running" and now < task.lease
        if not task.live or (leased and now < task.deadline):
            return [before]
        spent = before.charged + COST > task.budget or before.attempts >= ATTEMPTS
        if now >= task.deadline or spent:
            return [before]
        running = State(
            status="running", attempts=before.attempts + 1, charged=before.charged + COST
        )
        return [before, *self.worked(id_, running)]

    def worked(self, id_: str, running: State) -> list[State]:
        """What follows when the attempt's work is done, which began in that state.

        Its result goes to `results`; where it cannot be published the agent settles it itself.
        """
        do = self.tasks[id_].do
        stumbles = do == "stumble" and running.attempts == 1
        if (stumbles or do == "fail") and running.attempts < ATTEMPTS:
            return [running, replace(running, status="queued")]
        status = "failed" if do in ("give up", "fail") else "succeeded"
        return [running, replace(running, status=status), running]

    def settled(self, result: Result) -> list[State]:
        """A message on `results`."""
        before = self.tasks[result.task].state
        owner = "queued" if result.refused else "running"
        if (before.status, before.attempts) != (owner, result.attempt):
            return [before]
        return [before, replace(before, status=result.status)]

    def swept(self, id_: str, now: int) -> list[State]:
        """A tick, for one task."""
        task = self.tasks[id_]
        before = task.state
        if not task.live or now < task.wake:
            return [before]
        if now >= task.deadline:
            return [before, replace(before, status="expired")]
        if before.status == "queued" or now < task.lease:
            return [before]
        lapsed = "failed" if before.attempts >= ATTEMPTS else "queued"
        return [before, replace(before, status=lapsed)]

    def died(self, id_: str, now: int) -> list[State]:
        """A dead letter of the topic `tasks`."""
        task = self.tasks[id_]
        if not task.live or now < task.deadline:
            return [task.state]
        return [task.state, replace(task.state, status="expired")]

    def cancelled(self, id_: str) -> list[State]:
        """A cancellation."""
        before = self.tasks[id_].state
        return [before, replace(before, status="cancelled")] if before.status in LIVE else [before]

    def redrivable(self, id_: str) -> bool:
        """A redrive makes a new task."""
        return self.tasks[id_].state.status in ("failed", "expired")
