"""The command `tests/chaos/audit`: an operator's look at a store, live or at rest."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from shared import config, errors, runtime
from shared.storage.store import Store
from tests.chaos import auditor

ABOUT = """Reads every task and ledger of the store that the environment names, as the functions do
(BACKEND, EMBEDDED_PATH, GCP_PROJECT, FIRESTORE_DATABASE, FIRESTORE_EMULATOR_HOST), changes nothing,
and prints one line a violation. Exit code: 0 none, 1 some, 2 the store could not be read."""


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(prog="tests/chaos/audit", description=ABOUT)
    parser.add_argument("--at-rest", action="store_true", help="nothing may be under way")
    parser.add_argument("--never-lowered", action="store_true", help="no limit was ever lowered")
    parser.add_argument("--deleted", action="store_true", help="old tasks may have been deleted")
    parser.add_argument(
        "--page", type=int, default=auditor.PAGE, help="documents a query (%(default)s)"
    )
    parser.add_argument("--quiet", action="store_true", help="no progress")
    asked = parser.parse_args(arguments)
    terms = auditor.Terms(
        at_rest=asked.at_rest, never_lowered=asked.never_lowered, complete=not asked.deleted
    )

    def progress(said: str) -> None:
        if not asked.quiet:
            print(said, file=sys.stderr, flush=True)

    try:
        violations = auditor.audit(_store(), terms, page=asked.page, progress=progress)
    except errors.Error as error:
        print(f"the store cannot be read: {error.detail}", file=sys.stderr)
        return 2
    for violation in violations:
        print(violation)
    progress(f"{len(violations)} violations")
    return 1 if violations else 0


def _store() -> Store:
    settings = config.load()
    if settings.backend == "embedded" and not Path(settings.embedded_path).is_file():
        raise errors.Misconfigured(f"EMBEDDED_PATH: there is no {settings.embedded_path}")
    return runtime.Services(settings).store


if __name__ == "__main__":
    sys.exit(main())
