"""Signing in through the clinic's own identity provider: OpenID Connect, authorization code with PKCE (RFC 7636).

The provider says who somebody is; a user must have been added here, is bound to that one person at the first sign-in
(:mod:`.bindings`), and has the roles that were given here, or, where the operator says so, by the provider. Nothing is
asked of an address that the operator did not name, but for the endpoints that the provider itself tells there.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import httpx

from gaitkeeper_client.console.claims import Person, person_of
from gaitkeeper_client.console.rights import ROLES, Role
from gaitkeeper_client.vault.home import SiteHome, read_table
from gaitkeeper_client.vault.keys import SiteKey
from gaitkeeper_shared.errors import GaitkeeperError
from gaitkeeper_shared.trust.clock import Clock, utc_now
from gaitkeeper_shared.trust.envelope import SealContext, seal, unseal

TABLE = "oidc"
ALGORITHMS = ("RS256", "PS256", "ES256", "EdDSA")
"""Never a symmetric one, nor none: the provider signs with a key that only it has."""
DEADLINE_S = 10.0
PATIENCE_S = 600.0
"""So long somebody may take at the provider."""
_SKEW_S = 120.0
_MOST_BYTES = 1_000_000
_CONTEXT = SealContext("console-oidc", ())


@dataclass(frozen=True, slots=True)
class Provider:
    """The table ``[oidc]`` of ``site.toml``. ``console``: this console's address as browsers know it, without a path.

    ``secret_file``: holds the client's secret, for a provider that wants one. ``claim``: of the ID token, the one that
    is the user's name here. ``ca_file``: PEM certificates for a provider inside the clinic. ``role_claim``: the claim
    that lists somebody's groups, where roles are the provider's business; ``clinician``, ``it``, ``auditor``: the group
    that gives each role.
    """

    issuer: str
    client_id: str
    console: str
    secret_file: str = ""
    claim: str = "preferred_username"
    ca_file: str = ""
    role_claim: str = ""
    clinician: str = ""
    it: str = ""
    auditor: str = ""

    @property
    def groups(self) -> dict[Role, str]:
        """By role, the group that gives it."""
        return {role: group for role in ROLES if (group := str(getattr(self, role)))}

    @property
    def back(self) -> str:
        """Where the provider sends the browser back to."""
        return f"{self.console.rstrip('/')}/sign-in/oidc/back"


@dataclass(frozen=True, slots=True)
class Way:
    """Where to send a browser, and what it has to bring back, sealed."""

    address: str
    sealed: str


def provider_of(home: SiteHome) -> Provider | None:
    """The clinic's provider; None where there is none. Raises ``oidc-settings``."""
    table = dict(read_table(home, TABLE))
    if not table:
        return None
    known = {item.name for item in fields(Provider)}
    needed = {"issuer", "client_id", "console"}
    if set(table) - known or needed - set(table) or not all(isinstance(value, str) for value in table.values()):
        more = ", ".join(sorted(known - needed))
        detail = f"it has the keys {', '.join(sorted(needed))}, may have {more}, and each is a text"
        raise GaitkeeperError("oidc-settings", path=home.config_file, detail=detail)
    for name in ("issuer", "console"):
        if not _is_safe(table[name]):
            raise GaitkeeperError("oidc-settings", path=home.config_file, detail=f"{name} is not an https:// address")
    provider = Provider(**table)
    if bool(provider.role_claim) != bool(provider.groups):
        detail = f"role_claim, and at least one of {', '.join(ROLES)}, go together"
        raise GaitkeeperError("oidc-settings", path=home.config_file, detail=detail)
    return provider


class SignIn:
    """One site's way through its provider."""

    def __init__(self, provider: Provider, key: SiteKey, clock: Clock = utc_now) -> None:
        self._provider, self._key, self._clock = provider, key.derive("console/oidc"), clock

    def begin(self) -> Way:
        """Send a browser to the provider. Raises ``oidc-unreachable``."""
        state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        asked = {
            "response_type": "code",
            "client_id": self._provider.client_id,
            "redirect_uri": self._provider.back,
            "scope": "openid profile email",
            "state": state,
            "nonce": nonce,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        kept = {"state": state, "nonce": nonce, "verifier": verifier, "at": self._clock().timestamp()}
        sealed = base64.urlsafe_b64encode(seal(self._key, json.dumps(kept).encode(), _CONTEXT)).decode()
        return Way(f"{self._endpoint('authorization_endpoint')}?{urlencode(asked)}", sealed)

    def end(self, sealed: str, state: str, code: str, issuer: str = "") -> Person:
        """Who it is, by the provider's word. ``issuer``: who the answer says that it is from (RFC 9207), where it does.

        Raises ``oidc-refused``, ``oidc-unreachable``.
        """
        kept = self._kept(sealed)
        if not secrets.compare_digest(kept["state"].encode(), state.encode()):
            raise GaitkeeperError("oidc-refused", detail="it is not the answer to this browser's question")
        if issuer and issuer != self._provider.issuer:
            raise GaitkeeperError("oidc-refused", detail="it is the answer of another provider")
        answer, provider = self._exchange(code, kept["verifier"]), self._provider
        claims = self._completed(self._claims(str(answer["id_token"]), kept["nonce"]), answer.get("access_token"))
        return person_of(claims, claim=provider.claim, role_claim=provider.role_claim, groups=provider.groups)

    def _kept(self, sealed: str) -> dict[str, Any]:
        try:
            data = base64.urlsafe_b64decode(sealed.encode())
            kept: dict[str, Any] = json.loads(unseal(self._key, data, _CONTEXT, what="the sign-in"))
        except (ValueError, GaitkeeperError) as error:
            raise GaitkeeperError("oidc-refused", detail="this browser did not ask to sign in") from error
        if self._clock().timestamp() - float(kept["at"]) > PATIENCE_S:
            raise GaitkeeperError("oidc-refused", detail="it took too long")
        return kept

    def _exchange(self, code: str, verifier: str) -> dict[str, Any]:
        """What the provider gives for a code; an ID token is in it."""
        sent = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self._provider.back,
            "client_id": self._provider.client_id,
            "code_verifier": verifier,
        }
        auth = None
        if self._provider.secret_file:
            auth = httpx.BasicAuth(self._provider.client_id, _secret(Path(self._provider.secret_file)))
        answer = self._ask("POST", self._endpoint("token_endpoint"), data=sent, auth=auth)
        if not isinstance(answer.get("id_token"), str):
            raise GaitkeeperError("oidc-refused", detail="it gave no ID token")
        return answer

    def _completed(self, claims: dict[str, Any], access: object) -> dict[str, Any]:
        """With what a provider tells of a person only where it is asked (OpenID Connect Core 1.0, section 5.3)."""
        claims = {name: value for name, value in claims.items() if value is not None}
        wanted = {self._provider.claim, self._provider.role_claim.partition(".")[0]} - {""}
        wanted |= {"email_verified"} if self._provider.claim == "email" else set()
        if wanted <= set(claims) or not isinstance(access, str):
            return claims
        if "userinfo_endpoint" not in (description := self._description()):
            return claims
        bearer = {"authorization": f"Bearer {access}"}
        told = self._ask("GET", self._named(description, "userinfo_endpoint"), headers=bearer)
        if told.get("sub") != claims.get("sub"):  # section 5.3.2: else it may be about anybody
            raise GaitkeeperError("oidc-refused", detail="what it tells is about somebody else")
        return {**told, **claims}

    def _claims(self, token: str, nonce: str) -> dict[str, Any]:
        from joserfc import jwt
        from joserfc.errors import JoseError
        from joserfc.jwk import KeySet

        try:
            keys = KeySet.import_key_set(self._ask("GET", self._endpoint("jwks_uri")))  # type: ignore[arg-type]
            claims = dict(jwt.decode(token, keys, algorithms=list(ALGORITHMS)).claims)
            audience = claims["aud"] if isinstance(claims["aud"], list) else [claims["aud"]]
            now = self._clock().timestamp()
            sound = (
                claims["iss"] == self._provider.issuer
                and audience == [self._provider.client_id]
                and claims.get("azp", self._provider.client_id) == self._provider.client_id
                and secrets.compare_digest(str(claims["nonce"]).encode(), nonce.encode())
                and float(claims["exp"]) > now - _SKEW_S
                and float(claims["iat"]) < now + _SKEW_S
            )
        except (JoseError, KeyError, TypeError, ValueError) as error:
            raise GaitkeeperError("oidc-refused", detail="its token is not rightly signed or not whole") from error
        if not sound:
            raise GaitkeeperError("oidc-refused", detail="its token is for somebody else, or of another time")
        return claims

    def _endpoint(self, name: str) -> str:
        return self._named(self._description(), name)

    def _named(self, told: dict[str, Any], name: str) -> str:
        """An endpoint of the provider's description, checked."""
        address = told.get(name)
        if told.get("issuer") != self._provider.issuer or not isinstance(address, str) or not _is_safe(address):
            raise GaitkeeperError("oidc-unreachable", detail=f"its description does not name a sound {name}")
        return address

    def _description(self) -> dict[str, Any]:
        return self._ask("GET", f"{self._provider.issuer.rstrip('/')}/.well-known/openid-configuration")

    def _ask(self, method: str, address: str, **sent: Any) -> dict[str, Any]:
        try:
            verify = self._provider.ca_file or True
            with httpx.Client(timeout=DEADLINE_S, verify=verify, trust_env=False) as client:
                answer = client.request(method, address, **sent)
            if answer.status_code != 200 or len(answer.content) > _MOST_BYTES:
                raise GaitkeeperError("oidc-unreachable", detail=f"it answered {answer.status_code}")
            table = answer.json()
        except (httpx.HTTPError, OSError, ValueError) as error:
            raise GaitkeeperError("oidc-unreachable", detail=type(error).__name__) from error
        if not isinstance(table, dict):
            raise GaitkeeperError("oidc-unreachable", detail="its answer is no JSON object")
        return table


def _secret(path: Path) -> str:
    try:
        return path.read_text("utf-8").strip()
    except (OSError, UnicodeError) as error:
        raise GaitkeeperError("oidc-unreachable", detail="the file of the client's secret cannot be read") from error


def _is_safe(address: str) -> bool:
    parts = urlsplit(address)
    own = parts.hostname in ("127.0.0.1", "::1", "localhost")
    return bool(parts.hostname) and (parts.scheme == "https" or (parts.scheme == "http" and own))
