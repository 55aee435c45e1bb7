"""The tokens of a service: who may ask, and for what; only their hashes are stored."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import delete, insert, or_, select, update

from archfront.search.errors import RequestError
from archfront.search.service.service_database import ServiceDatabase
from archfront.search.service.tables import TOKENS

Scope = Literal["read", "full"]
SCOPES: tuple[Scope, ...] = ("read", "full")
# The token that is made when the service starts for the first time.
FIRST = "first"
# A session of a browser ends after this.
SESSION_S = 14 * 24 * 3600.0
# The last use is noted once in this time, since a row written per request would cost more.
NOTED_EVERY_S = 60.0
N_BYTES = 32
# Seconds for which a token that was found is not looked up again, and how many are remembered.
REMEMBERED_S, N_REMEMBERED = 2.0, 1000


@dataclass(frozen=True)
class Identity:
    """Whoever a request comes from.

    Attributes:
        id: Id of the token or the session; empty where no token is needed.
        name: Name of the token.
        scope: ``read``, or ``full`` for requests that change something.
        is_session: Whether a browser's cookie says it.
    """

    id: str
    name: str
    scope: Scope
    is_session: bool = False


ANYBODY = Identity("", "anybody", "full")


class Tokens:
    """The tokens of a service.

    Args:
        database: Where they are kept.
        clock: Seconds, for how long a token is remembered.
    """

    def __init__(
        self, database: ServiceDatabase, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._database, self._clock = database, clock
        self._found: dict[str, tuple[float, Identity]] = {}

    def create(self, name: str, scope: Scope) -> str:
        """Return a new token, which cannot be read again.

        Raises:
            RequestError: If there is one of this name.
        """
        with self._database.begin(alone="tokens") as connection:
            same = select(TOKENS.c.id).where(TOKENS.c.name == name, TOKENS.c.parent.is_(None))
            if connection.execute(same).first() is not None:
                raise RequestError(
                    409, "token_exists", f"There is a token {name!r}. Give another name."
                )
            secret, row = _new(name, scope, self._database.now())
            connection.execute(insert(TOKENS).values(row))
        return secret

    def first(self, *, anew: bool = False) -> str | None:
        """Return the token of the first start; None where one was made before.

        Args:
            anew: Whether another token takes its place.
        """
        if anew:
            for token in self.listed():
                if token["name"] == FIRST:
                    self.delete(token["id"])
        elif self.listed():
            return None
        return self.create(FIRST, "full")

    def listed(self) -> list[dict[str, Any]]:
        """Return the tokens by age, without what is secret of them."""
        shown = (
            TOKENS.c.id, TOKENS.c.name, TOKENS.c.scope, TOKENS.c.created, TOKENS.c.last_used
        )  # fmt: skip
        query = select(*shown).where(TOKENS.c.parent.is_(None)).order_by(TOKENS.c.created)
        with self._database.reading() as connection:
            return [dict(row) for row in connection.execute(query).mappings()]

    def delete(self, token: str) -> None:
        """Delete a token by its id, with the sessions that it began.

        Raises:
            RequestError: If there is none.
        """
        of_token = or_(TOKENS.c.id == token, TOKENS.c.parent == token)
        with self._database.begin() as connection:
            if connection.execute(delete(TOKENS).where(of_token)).rowcount == 0:
                raise RequestError(404, "no_such_token", f"There is no token with the id {token}.")
        self._found = {}  # another one: what is being looked up now is put into the old one

    def begin_session(self, identity: Identity) -> str:
        """Return the secret of a new session, for the cookie of a browser."""
        now = self._database.now()
        secret, row = _new(identity.name, identity.scope, now)
        row |= {"parent": identity.id, "expires": now + SESSION_S}
        with self._database.begin() as connection:
            connection.execute(delete(TOKENS).where(TOKENS.c.expires < now))
            connection.execute(insert(TOKENS).values(row))
        return secret

    def remembered(self, secret: str) -> Identity | None:
        """Return whose secret it is, if that was looked up just now; else None."""
        until, identity = self._found.get(_hash(secret), (float("-inf"), None))
        return identity if self._clock() < until else None

    def who(self, secret: str) -> Identity | None:
        """Return whose token or session a secret is; None for nobody's."""
        if (known := self.remembered(secret)) is not None:
            return known
        digest, found = _hash(secret), self._found
        query = select(TOKENS).where(TOKENS.c.hash == digest)
        now = self._database.now()
        with self._database.reading() as connection:
            row = connection.execute(query).mappings().first()
        if row is None or not hmac.compare_digest(row["hash"], digest):
            return None
        if row["expires"] is not None and row["expires"] < now:
            return None
        if now - (row["last_used"] or 0.0) > NOTED_EVERY_S:
            mine = TOKENS.c.id.in_([row["id"], row["parent"] or row["id"]])
            with self._database.begin() as connection:
                connection.execute(update(TOKENS).where(mine).values(last_used=now))
        identity = Identity(row["id"], row["name"], row["scope"], row["parent"] is not None)
        if len(found) >= N_REMEMBERED:
            found.clear()
        found[digest] = self._clock() + REMEMBERED_S, identity
        return identity


def _new(name: str, scope: Scope, now: float) -> tuple[str, dict[str, Any]]:
    """Return a secret and the row of its token."""
    secret = secrets.token_urlsafe(N_BYTES)
    row = {
        "id": secrets.token_hex(8),
        "name": name,
        "hash": _hash(secret),
        "scope": scope,
        "created": now,
    }
    return secret, row


def _hash(secret: str) -> str:
    """Return the hash of a secret; of 32 random bytes, nobody finds them from a fast one."""
    return hashlib.sha256(secret.encode()).hexdigest()
