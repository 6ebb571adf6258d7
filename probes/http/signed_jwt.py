"""A JSON Web Token signed with RS256. Source: RFC 7515, section 3.1 and appendix A.2; RFC 7519, section 4."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

from probes.contract import ProbeError, Reason


def signed(claims: Mapping[str, Any], pem: str, *, key_id: str | None = None, extra: str = "jwt") -> str:
    """A token that states some claims.

    Args:
        pem: the private RSA key, without a passphrase.
        key_id: the receiver's id of the key, if it holds several.
        extra: the extra of this product that installs the library, for the message if it is missing.

    Raises:
        ProbeError: `auth` for a key that cannot sign, `query` if the library is not installed.
    """
    try:
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
        from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
        from cryptography.hazmat.primitives.hashes import SHA256
        from cryptography.hazmat.primitives.serialization import load_pem_private_key
    except ModuleNotFoundError as error:
        hint = f"pip install 'plumbline-auditor[{extra}]'"
        raise ProbeError(Reason.QUERY, "the package cryptography is not installed", hint=hint) from error
    try:
        key = load_pem_private_key(pem.replace("\\n", "\n").strip().encode(), None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise ProbeError(
            Reason.AUTH,
            "private_key cannot be read as an RSA key in PEM without a passphrase",
            hint="openssl pkey -in KEY -out PLAIN.pem writes one; the whole file belongs into the map's variable",
        ) from None
    if not isinstance(key, RSAPrivateKey):
        raise ProbeError(
            Reason.AUTH,
            "private_key is not an RSA key, and tokens are signed with RS256 alone",
            hint="openssl genrsa -out KEY.pem 2048 makes one; its certificate or public key belongs to the app",
        )
    head = {"alg": "RS256", "typ": "JWT"} | ({"kid": key_id} if key_id else {})
    stated = f"{_part(head)}.{_part(claims)}"
    return f"{stated}.{_encoded(key.sign(stated.encode(), PKCS1v15(), SHA256()))}"


def _part(document: Mapping[str, Any]) -> str:
    return _encoded(json.dumps(document, separators=(",", ":")).encode())


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
