"""One suite for every store, one for every bus, and the proof that they bite."""

import pytest

pytest.register_assert_rewrite(
    "tests.contract.commits", "tests.contract.queries", "tests.contract.races"
)
