"""A token can be had by hand."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from google.auth import jwt

from emulators import tokens
from emulators.layout import PUSHER


def test_the_command_prints_a_token_that_the_same_issuers_certificates_verify(
    tmp_path: Path,
) -> None:
    command = [sys.executable, "-m", "emulators.tokens", "http://a/push", f"--data={tmp_path}"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    certs = tokens.Issuer(tmp_path).certs()
    claims = jwt.decode(printed, certs, audience="http://a/push")  # type: ignore[no-untyped-call]
    assert claims["email"] == PUSHER
