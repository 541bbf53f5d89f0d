"""Forged tokens: named lists of request headers, none of which may open a push endpoint."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import math
import time
from collections.abc import Iterator
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from emulators import tokens

Headers = list[tuple[str, str]]


def cases(issuer: tokens.Issuer, audience: str, email: str) -> dict[str, Headers]:
    """Every forgery of a push by `email` to `audience`, by name; the issuer signs what it must."""
    forger = _Forger(issuer, audience, email)
    return {
        **{f"header: {name}": headers for name, headers in _envelopes(forger)},
        **{f"algorithm: {name}": bearer(token) for name, token in _algorithms(forger)},
        **{f"key: {name}": bearer(token) for name, token in _keys(forger)},
        **{f"tampered: {name}": bearer(token) for name, token in _tampered(forger)},
        **{f"claim: {name}": bearer(forger.token(**claims)) for name, claims in _claims(forger)},
        **{f"claim: no {name}": bearer(forger.token(**{name: None})) for name in REQUIRED},
        **{f"not JSON: {name}": bearer(token) for name, token in _malformed(forger)},
    }


REQUIRED = ("iss", "aud", "sub", "email", "email_verified", "iat", "exp")


def bearer(token: str) -> Headers:
    """The headers of a request with this token."""
    return [("Authorization", f"Bearer {token}")]


class _Forger:
    """What a forger has: tokens that the issuer signed, its certificate, and a key of their own."""

    def __init__(self, issuer: tokens.Issuer, audience: str, email: str) -> None:
        self.audience, self.email, self.issuer = audience, email, issuer
        self.own_key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.header = {"alg": "RS256", "kid": issuer.key_id, "typ": "JWT"}
        self.certificate = issuer.certs()[issuer.key_id]

    def token(self, **claims: Any) -> str:
        return self.issuer.token(self.audience, self.email, **claims)

    def payload(self) -> bytes:
        return _decode(self.token().split(".")[1])

    def genuine(self, header: bytes | dict[str, Any], payload: bytes | None = None) -> str:
        """A token with the issuer's own signature over any two segments."""
        signed = _signed(header, self.payload() if payload is None else payload)
        signature: bytes = self.issuer._signer.sign(signed.encode())
        return f"{signed}.{encode(signature)}"

    def self_signed(self, **header: Any) -> str:
        """A token with the forger's signature."""
        signed = _signed({**self.header, **header}, self.payload())
        signature = self.own_key.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256())
        return f"{signed}.{encode(signature)}"

    def hmac(self, secret: bytes) -> str:
        """A token whose secret is what everyone can read."""
        signed = _signed({**self.header, "alg": "HS256"}, self.payload())
        return f"{signed}.{encode(hmac.digest(secret, signed.encode(), hashlib.sha256))}"


def encode(data: bytes) -> str:
    """Base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decode(segment: str) -> bytes:
    return base64.urlsafe_b64decode(segment + "==")


def _signed(header: bytes | dict[str, Any], payload: bytes) -> str:
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    return f"{encode(raw)}.{encode(payload)}"


def _envelopes(forger: _Forger) -> Iterator[tuple[str, Headers]]:
    good = forger.token()
    yield "none", []
    yield "empty", [("Authorization", "")]
    yield "scheme only", [("Authorization", "Bearer")]
    yield "no scheme", [("Authorization", good)]
    yield "basic", [("Authorization", "Basic " + base64.b64encode(b"admin:admin").decode())]
    yield "other scheme", [("Authorization", f"Token {good}")]
    yield "two spaces", [("Authorization", f"Bearer  {good}")]
    yield "twice the same", bearer(good) * 2
    yield "good, then garbage", [*bearer(good), ("Authorization", "Bearer x.y.z")]
    yield "garbage, then good", [("Authorization", "Bearer x.y.z"), *bearer(good)]
    yield "two in one", [("Authorization", f"Bearer {good}, Bearer {good}")]
    yield "too long", bearer(forger.token(filler="x" * 4096))
    yield "under another name", [("X-Authorization", f"Bearer {good}")]
    yield "serverless only", [("X-Serverless-Authorization", f"Bearer {good}")]
    yield "access token", bearer("ya29.a0AfH6SMBx-garbage_of_an_opaque_token")
    yield "garbage", bearer("garbage")
    yield "dots", bearer("..")
    yield "not ASCII", bearer("\xe9.\xe9.\xe9")


def _algorithms(forger: _Forger) -> Iterator[tuple[str, str]]:
    signature = forger.token().rpartition(".")[2]
    public_key = x509.load_pem_x509_certificate(forger.certificate.encode()).public_key()
    pem = public_key.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    for none in ("none", "None", "nOnE"):
        signed = _signed({**forger.header, "alg": none}, forger.payload())
        yield f"{none}, no signature", f"{signed}."
        yield f"{none}, some signature", f"{signed}.{signature}"
    yield "HS256 with the certificate", forger.hmac(forger.certificate.encode())
    yield "HS256 with the public key", forger.hmac(pem)
    yield "HS256 with nothing", forger.hmac(b"")
    for other in (
        "RS384",
        "RS512",
        "PS256",
        "ES256",
        "rs256",
        "",
        ["RS256"],
        {"RS256": 1},
        None,
        1,
    ):
        yield f"{other!r}", forger.genuine({**forger.header, "alg": other})
    yield "missing", forger.genuine({"kid": forger.issuer.key_id})


def _keys(forger: _Forger) -> Iterator[tuple[str, str]]:
    yield "unknown, own signature", forger.self_signed(kid="f" * 40)
    yield "unknown, the issuer's signature", forger.genuine({**forger.header, "kid": "f" * 40})
    yield "missing, the issuer's signature", forger.genuine({"alg": "RS256"})
    yield "known, own signature", forger.self_signed()
    for other in ("", None, 0, True, [forger.issuer.key_id], {"kid": 1}, "../../etc/passwd"):
        yield f"{other!r}", forger.genuine({**forger.header, "kid": other})
    numbers = forger.own_key.public_key().public_numbers()
    modulus = encode(numbers.n.to_bytes(256))
    own = {"kty": "RSA", "alg": "RS256", "kid": "own", "e": "AQAB", "n": modulus}
    yield "embedded jwk", forger.self_signed(jwk=own)
    yield "embedded jwk, its own id", forger.self_signed(jwk=own, kid="own")
    yield "jku", forger.self_signed(jku="https://forger.example/jwks.json")
    yield "x5u", forger.self_signed(x5u="https://forger.example/cert.pem")
    yield "x5c", forger.self_signed(x5c=[encode(b"a certificate")])
    yield "critical extension", forger.genuine({**forger.header, "crit": ["exp"]})


def _tampered(forger: _Forger) -> Iterator[tuple[str, str]]:
    stolen = forger.token(email="mallory@example.com")
    header, payload, signature = stolen.split(".")
    mine = json.loads(_decode(payload)) | {"email": forger.email}
    yield "e-mail", f"{header}.{encode(json.dumps(mine).encode())}.{signature}"
    older = json.loads(_decode(payload)) | {"exp": int(time.time()) + 3000}
    yield "expiry", f"{header}.{encode(json.dumps(older).encode())}.{signature}"
    header, payload, signature = forger.token().split(".")
    yield (
        "header",
        f"{encode(json.dumps({**forger.header, 'x': 1}).encode())}.{payload}.{signature}",
    )
    yield "another token's signature", f"{header}.{payload}.{stolen.rpartition('.')[2]}"
    flipped = bytearray(_decode(signature))
    flipped[100] ^= 1
    yield "a bit of the signature", f"{header}.{payload}.{encode(bytes(flipped))}"
    yield "signature cut", f"{header}.{payload}.{signature[:-4]}"
    yield "signature gone", f"{header}.{payload}."
    yield "signature zero", f"{header}.{payload}.{encode(bytes(256))}"
    yield "signature removed, as by IAM", f"{header}.{payload}.SIGNATURE_REMOVED_BY_GOOGLE"
    yield "two segments", f"{header}.{payload}"
    yield "four segments", f"{header}.{payload}.{signature}.{signature}"
    yield "padded", f"{header}.{payload}.{signature}=="
    last = chr(ord(signature[-1]) + 1)  # 2048 bits leave 4 unused bits in the last character
    yield "unused bits set", f"{header}.{payload}.{signature[:-1]}{last}"
    standard = base64.b64encode(b"\xfb\xff" * 128).decode()
    yield "plain base64", f"{header}.{payload}.{standard}"


def _claims(forger: _Forger) -> Iterator[tuple[str, dict[str, Any]]]:
    now, audience, email = int(time.time()), forger.audience, forger.email
    elsewhere = "https://elsewhere.example/pubsub/push"
    strays: dict[str, tuple[Any, ...]] = {
        "aud": (
            f"{audience}/",
            audience[:-1],
            audience.upper(),
            elsewhere,
            "",
            True,
            [audience],
            [],
            {audience: 1},
        ),
        "iss": (
            "accounts.google.com",
            "http://accounts.google.com",
            f"{tokens.ISSUER}/",
            "",
            1,
            [tokens.ISSUER],
            "https://securetoken.google.com/p",
            "https://forger.example",
        ),
        "exp": (
            math.nan,
            math.inf,
            -math.inf,
            now + 60.0,
            str(now + 60),
            True,
            [now + 60],
            {},
            10**400,
            -1,
            0,
        ),
        "iat": (math.nan, -math.inf, float(now), str(now), True, [now], -(10**400)),
        "nbf": (now + 600, str(now), math.nan, True),
        "email": (
            "mallory@example.com",
            "",
            email.upper(),
            f" {email}",
            f"{email}\0",
            True,
            f"{email}.example.com",
            f"{email},mallory@example.com",
            [email],
            {email: 1},
        ),
        "email_verified": (False, "true", 1, [True], "false"),
        "sub": ("", 1, [email]),
    }
    for claim, values in strays.items():
        for value in values:
            yield f"{claim} {str(value)[:60]!r} {type(value).__name__}", {claim: value}
    yield "expired", {"iat": now - 3700, "exp": now - 100}
    yield "expired ages ago", {"iat": 0, "exp": 3600}
    yield "from the future", {"iat": now + 600, "exp": now + 4200}
    yield "good for ten years", {"exp": now + 315_360_000}
    yield "good for two hours", {"exp": now + 7200}
    yield "issued long ago, good for long", {"iat": now - 7000}
    yield "expires before it is issued", {"iat": now + 30, "exp": now + 20}


def _malformed(forger: _Forger) -> Iterator[tuple[str, str]]:
    payload = forger.payload()
    twice = payload[:-1] + b', "email": "mallory@example.com"}'
    for name, raw in {
        "list": b"[]",
        "string": b'"x"',
        "number": b"1",
        "null": b"null",
        "empty": b"",
        "nested": b"[" * 1200,
        "nested objects": b'{"a":' * 300 + b"1" + b"}" * 300,
        "not UTF-8": b"\xff\xfe",
        "byte order mark": b"\xef\xbb\xbf" + payload,
        "UTF-16": payload.decode().encode("utf-16"),
        "an e-mail twice": twice,
        "a huge number": payload[:-1] + b', "n": 1e999}',
        "many digits": payload[:-1] + b', "n": ' + b"1" * 1000 + b"}",
        "lone surrogate": payload[:-1] + b', "n": "\\ud800"}',
    }.items():
        yield f"payload {name}", forger.genuine(forger.header, raw)
    header = json.dumps(forger.header).encode()
    for name, raw in {
        "list": b"[]",
        "nested": b"[" * 1200,
        "not JSON": b"alg=RS256",
        "alg twice": header[:-1] + b', "alg": "RS256"}',
        "byte order mark": b"\xef\xbb\xbf" + header,
    }.items():
        yield f"header {name}", forger.genuine(raw)
