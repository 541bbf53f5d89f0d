"""The local issuer: signs OIDC tokens as Google does, so that verification is on at home too.

`python -m emulators.tokens AUDIENCE` prints one, for a push made by hand straight to a function.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import os
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID
from google.auth import crypt, jwt

from emulators import layout

ISSUER = "https://accounts.google.com"
LIFETIME = 3600  # seconds, as Google's tokens have


class Issuer:
    """A key and its certificate, made once and kept in a file that only its owner can read."""

    def __init__(self, folder: Path) -> None:
        """Reads `folder/issuer.pem`, or makes it; of two processes that make it, one wins."""
        path = folder / "issuer.pem"
        if not path.exists():
            _keep(path, _pem())
        pem = path.read_bytes()
        certificate = x509.load_pem_x509_certificate(pem)
        self.key_id = certificate.fingerprint(hashes.SHA256()).hex()[:40]
        self._certificate = certificate.public_bytes(serialization.Encoding.PEM).decode()
        key = serialization.load_pem_private_key(pem, password=None)
        self._signer = crypt.RSASigner(key, self.key_id)  # type: ignore[no-untyped-call]

    def certs(self) -> dict[str, str]:
        """What is to be served at `OIDC_CERTS_URL`: the key's id and its x509 certificate (PEM)."""
        return {self.key_id: self._certificate}

    def token(self, audience: str, email: str, /, **overrides: Any) -> str:
        """A token as a push by the service account `email` carries it, good for an hour.

        `overrides` replaces claims; None leaves one out.
        """
        now = int(time.time())
        claims = {
            "iss": ISSUER,
            "aud": audience,
            "azp": email,
            "sub": email,
            "email": email,
            "email_verified": True,
            "iat": now,
            "exp": now + LIFETIME,
            **overrides,
        }
        return self.sign({name: value for name, value in claims.items() if value is not None})

    def sign(self, claims: Mapping[str, Any]) -> str:
        """A token with just these claims."""
        token: bytes = jwt.encode(self._signer, dict(claims))  # type: ignore[no-untyped-call]
        return token.decode()


def _pem() -> bytes:
    """A new private key, and a certificate that it signs for itself."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "zantara local issuer")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=3650))
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return private + certificate.public_bytes(serialization.Encoding.PEM)


def _keep(path: Path, pem: bytes) -> None:
    """Writes the file whole and private, unless another process was first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, draft = tempfile.mkstemp(dir=path.parent)  # mode 0600
    with os.fdopen(descriptor, "wb") as file:
        file.write(pem)
    with contextlib.suppress(FileExistsError):
        os.link(draft, path)
    os.unlink(draft)


def main() -> None:
    """Prints a token as the local Pub/Sub would send it."""
    parser = argparse.ArgumentParser(prog="python -m emulators.tokens")
    parser.add_argument("audience", help="the push endpoint's URL, as PUBSUB_AUDIENCE has it")
    parser.add_argument("--email", default=layout.PUSHER, help="whom it speaks for (%(default)s)")
    parser.add_argument("--data", type=Path, default=layout.ROOT / ".zantara", help="see up --data")
    options = parser.parse_args()
    print(Issuer(options.data).token(options.audience, options.email))


if __name__ == "__main__":
    main()
