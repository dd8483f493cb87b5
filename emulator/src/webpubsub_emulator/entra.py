"""A local issuer of tokens in place of Microsoft Entra ID.

It signs the tokens that the service's managed identity sends to event handlers, and those with
which an application calls REST. Its discovery document, its keys and its token endpoint are
served by the emulator, at the paths of Entra ID.
https://learn.microsoft.com/entra/identity-platform/access-token-claims-reference
"""

import hashlib
import json
import uuid
from collections.abc import Callable
from typing import Any

import jwt

from webpubsub_emulator.tokens import SIGNATURE_ONLY, TokenError, check_lifetime, claim_values

SERVICE_AUDIENCE = "https://webpubsub.azure.com"
DEFAULT_TENANT_ID = "72f988bf-0000-4000-8000-2d7cd011db47"
DEFAULT_PRINCIPAL_ID = "a0b1c2d3-0000-4000-8000-e4f5a6b7c8d9"
TOKEN_LIFETIME_SECONDS = 3600
_KEY_BITS = 2048
_MAX_PUBLISHED_KEYS = 3


class LocalIssuer:
    """Issues and checks RS256 tokens; `rotate_key` replaces the signing key."""

    def __init__(
        self,
        endpoint: str,
        now: Callable[[], float],
        *,
        tenant_id: str = DEFAULT_TENANT_ID,
        principal_id: str = DEFAULT_PRINCIPAL_ID,
    ) -> None:
        self.tenant_id = tenant_id
        self.principal_id = principal_id
        self.issuer = f"{endpoint}/{tenant_id}/"
        self._endpoint = endpoint
        self._now = now
        self._signing_key: Any = None
        self._key_id = ""
        self._public_keys: dict[str, Any] = {}
        self._issued: dict[str, tuple[str, float]] = {}
        self.rotate_key()

    def rotate_key(self, *, withdraw: bool = False) -> None:
        """Sign with a new key. The last keys stay published unless `withdraw` is set."""
        # cryptography takes longer to import than all of the emulator's own modules.
        from cryptography.hazmat.primitives.asymmetric import rsa

        self._signing_key = rsa.generate_private_key(public_exponent=65537, key_size=_KEY_BITS)
        public_key = self._signing_key.public_key()
        self._key_id = _key_id(public_key)
        if withdraw:
            self._public_keys.clear()
        self._public_keys[self._key_id] = public_key
        while len(self._public_keys) > _MAX_PUBLISHED_KEYS:
            del self._public_keys[next(iter(self._public_keys))]
        self._issued.clear()

    def issue(
        self,
        audience: str = SERVICE_AUDIENCE,
        *,
        subject: str | None = None,
        lifetime_seconds: int = TOKEN_LIFETIME_SECONDS,
        **claims: Any,
    ) -> str:
        """Sign a token; a claim of None is left out."""
        now = int(self._now())
        subject = subject or self.principal_id
        defaults = {
            "aud": audience,
            "iss": self.issuer,
            "iat": now,
            "nbf": now,
            "exp": now + lifetime_seconds,
            "appid": subject,
            "oid": subject,
            "sub": subject,
            "tid": self.tenant_id,
            "uti": uuid.uuid4().hex,
            "ver": "1.0",
        }
        content = {name: value for name, value in (defaults | claims).items() if value is not None}
        return jwt.encode(
            content, self._signing_key, algorithm="RS256", headers={"kid": self._key_id}
        )

    def expiry_of_new_token(self) -> int:
        """Return the time at which a token issued now expires, in seconds since 1970."""
        return int(self._now()) + TOKEN_LIFETIME_SECONDS

    def issue_for_handler(self, audience: str) -> str:
        """Return the managed identity's token for an event handler, reused for half its life."""
        token, renew_at = self._issued.get(audience, ("", 0.0))
        if self._now() >= renew_at:
            token = self.issue(audience)
            self._issued[audience] = token, self._now() + TOKEN_LIFETIME_SECONDS / 2
        return token

    def verify(self, token: str, audience: str = SERVICE_AUDIENCE) -> dict[str, Any]:
        """Return the claims of a token that this issuer signed; raises TokenError."""
        try:
            key = self._public_keys.get(str(jwt.get_unverified_header(token).get("kid")))
            if key is None:
                raise TokenError("signature: made with no key of the local issuer")
            claims = jwt.decode(
                token,
                key,
                algorithms=["RS256"],
                issuer=self.issuer,
                options=SIGNATURE_ONLY,
            )
        except jwt.InvalidTokenError as error:
            raise TokenError(f"token: {error}") from error
        check_lifetime(claims, self._now())
        audiences = {value.rstrip("/") for value in claim_values(claims.get("aud"))}
        if audience not in audiences:
            raise TokenError(f"audience {sorted(audiences)} is not {audience}")
        return dict(claims)

    def discovery_document(self) -> dict[str, Any]:
        base = f"{self._endpoint}/{self.tenant_id}"
        return {
            "issuer": self.issuer,
            "authorization_endpoint": f"{base}/oauth2/v2.0/authorize",
            "token_endpoint": f"{base}/oauth2/v2.0/token",
            "jwks_uri": f"{base}/discovery/v2.0/keys",
            "response_types_supported": ["token"],
            "subject_types_supported": ["pairwise"],
            "id_token_signing_alg_values_supported": ["RS256"],
        }

    def key_set(self) -> dict[str, Any]:
        return {
            "keys": [
                json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(key))
                | {"kid": key_id, "use": "sig", "alg": "RS256"}
                for key_id, key in self._public_keys.items()
            ]
        }


def is_entra_token(token: str) -> bool:
    """Whether a token is signed with a public-key algorithm, as Entra's are."""
    try:
        return str(jwt.get_unverified_header(token).get("alg")).startswith("RS")
    except jwt.InvalidTokenError:
        return False


def _key_id(public_key: Any) -> str:
    numbers = public_key.public_numbers()
    return hashlib.sha256(str(numbers.n).encode()).hexdigest()[:27]
