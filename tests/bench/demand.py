"""What a rate of tasks needs: arithmetic on `limits`, and `ledger` where that does not suffice."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

from tests.bench import ledger, limits

DAY = 86_400  # seconds


@dataclass(frozen=True, kw_only=True)
class Demand:
    """Tasks that come at a steady rate, all for one agent, all on one account of each project."""

    rate: float  # tasks a second
    agent_seconds: float  # that the agent itself takes, mostly waiting for a model
    dispatchers: int = 1  # processes that dispatch, in each project, at the least

    @property
    def writes(self) -> float:
        """Documents written a second."""
        return self.rate * limits.WRITES

    @property
    def hottest(self) -> tuple[str, float]:
        """The index that most writes change, and how many a second those are."""
        name = max(limits.TOUCHED, key=lambda name: limits.TOUCHED[name])
        return name, self.rate * limits.TOUCHED[name]

    @property
    def shards(self) -> int:
        """Shards that its range of growing values must be divided into."""
        return math.ceil(self.hottest[1] / limits.SEQUENTIAL)

    @property
    def projects(self) -> int:
        """As many as it takes that none needs more shards than a query can name."""
        return math.ceil(self.shards / limits.SHARDS)

    @property
    def each(self) -> Demand:
        """What one of the projects has to bear."""
        return replace(self, rate=self.rate / self.projects)

    @property
    def ramp_minutes(self) -> float:
        """How long the traffic of one project must take to grow, by Firestore's 500/50/5 rule."""
        reached, minutes = float(limits.RAMP_START), 0.0
        while reached < self.each.writes:
            reached *= limits.RAMP_GROWTH
            minutes += limits.RAMP_STEP / 60
        return minutes

    def seconds(self, function: str) -> float:
        """How long a request of that function takes."""
        return limits.SECONDS[function] + (self.agent_seconds if function == "agent" else 0)

    @property
    def under_way(self) -> float:
        """Messages that an agent's pushes have under way at once, in all projects."""
        return self.rate * self.seconds("agent")

    @property
    def subscriptions(self) -> int:
        """Subscriptions of the agent in each project: a slow one's window does not grow."""
        if self.seconds("agent") < limits.QUICK:
            return 1
        return math.ceil(self.each.under_way / limits.WINDOW)

    def instances(self, function: str) -> int:
        """Instances of that function in one project: by their threads, or by their CPU."""
        threads = self.each.rate * self.seconds(function) / limits.CONCURRENCY[function]
        needed = math.ceil(max(threads, self.each.rate * limits.CPU / limits.UTILIZATION))
        return max(needed, self.dispatchers) if function == "dispatch" else needed

    @property
    def vcpus(self) -> int:
        """Of all functions of one project together."""
        return sum(map(self.instances, limits.CONCURRENCY))

    @property
    def pushed(self) -> float:
        """Bytes pushed a second in one project; as many are published."""
        return self.each.rate * limits.PUSHES * limits.MESSAGE

    @property
    def load(self) -> ledger.Load:
        """What one account's ledger bears with PURSE_SECONDS as it is by default."""
        processes = self.instances("dispatch")
        return ledger.simulate(processes, self.each.rate, limits.PURSE_SECONDS)

    @property
    def dollars(self) -> float:
        """A day's Firestore, Pub/Sub and requests."""
        task = (
            limits.WRITES * limits.DOLLARS_WRITE
            + limits.READS * limits.DOLLARS_READ
            + limits.DELETES * limits.DOLLARS_DELETE
            + (limits.PUBLISHES + limits.PUSHES) * limits.MESSAGE * limits.DOLLARS_BYTE
            + limits.REQUESTS * limits.DOLLARS_REQUEST
        )
        return self.rate * task * DAY

    @property
    def dollars_instances(self) -> float:
        """A day's vCPU and memory: an instance is paid while it has a request."""
        second = limits.DOLLARS_CPU + limits.MEMORY * limits.DOLLARS_MEMORY
        return sum(map(self._busy, limits.CONCURRENCY)) * second * DAY * self.projects

    def _busy(self, function: str) -> float:
        """Instances of one project that have a request, on average."""
        if self.instances(function) > 1:
            return self.instances(function)
        return 1 - math.exp(-self.each.rate * self.seconds(function))

    def settings(self) -> Iterator[str]:
        """What must be set, other than the defaults, in each project."""
        if self.projects > 1:
            yield f"{self.projects} projects, and the tasks spread over them"
        if self.each.shards > 1:
            yield 'sharding = "on"'
        for function in limits.CONCURRENCY:
            if self.instances(function) > limits.MAX_INSTANCES:
                yield f"{function}: max_instances = {self.instances(function):,}"
        if self.vcpus > limits.REGION:
            waiting = math.ceil(self.each.under_way / (limits.REGION / 2))
            yield (
                f"a quota of {self.vcpus:,} vCPUs, or concurrency = {min(waiting, 1000)}"
                " for an agent that mostly waits"
            )
        if self.load.commits > limits.DOCUMENT:
            seconds = ledger.purse_seconds(self.instances("dispatch"), self.each.rate)
            yield f"PURSE_SECONDS={seconds}"

    def bounds(self) -> Iterator[str]:
        """What binds here, and no setting lifts."""
        if self.projects > 1:
            most = limits.SHARDS * limits.SEQUENTIAL / max(limits.TOUCHED.values())
            yield (
                f"a database takes {most:,.0f} tasks a second ({limits.SHARDS} shards of"
                f" {limits.SEQUENTIAL} writes, {max(limits.TOUCHED.values())} a task),"
                " and an account lives in one"
            )
        if self.subscriptions > 1:
            most = limits.WINDOW / self.seconds("agent")
            yield (
                f"a subscription has {limits.WINDOW:,} slow pushes under way: {most:,.0f} tasks"
                f" a second; the agent needs {self.subscriptions} names in each project"
            )
