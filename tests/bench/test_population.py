"""The stores that growth is measured on are such as the product would have made."""

from __future__ import annotations

from pathlib import Path

from shared import config, runtime
from tests.bench.population import OPERATIONS, PAGE, Population


def test_a_population_passes_the_audit_before_and_after_work(tmp_path: Path) -> None:
    settings = config.load({"BACKEND": "embedded", "EMBEDDED_PATH": str(tmp_path / "zantara.db")})
    store = Population(runtime.Services(settings), 10 * PAGE + 1)
    assert store.audit() > 0
    store.work()
    assert store.audit() > 0
    assert all(store.times[each] for each in OPERATIONS)
