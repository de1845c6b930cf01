"""Who asks: API keys to callers, what a caller may do, and how often. Around every request, before its body is read."""

import math
from collections.abc import Mapping

from fastapi import Request

from services.adapters.api_keys import Caller, Scope, find_key, key_hash
from services.adapters.http import asgi
from services.adapters.http.asgi import App, Receive, Send
from services.adapters.http.origins import Origins
from services.adapters.postgres import Postgres
from services.adapters.rate_limit import RateLimiter, client_of
from services.contracts.errors import InfraError
from services.contracts.lab import is_client_account
from services.contracts.metrics import Metric
from services.orders.problems import Refusal, against_rules, away
from services.runtime.clock import Clock
from services.runtime.metrics import counter

KEY_HEADER = b"x-api-key"
OPEN_PATHS = frozenset({"/whoami", "/openapi.json", "/docs"})
"""What is answered without a key, too."""
NOBODY = Caller(None, frozenset())


class ApiKeys:
    """Callers by their keys' hashes, remembered for ``refresh_s``: keys that are not there, too."""

    def __init__(self, database: Postgres, clock: Clock, *, refresh_s: float, keys_max: int, timeout_s: float) -> None:
        self._database = database
        self._clock = clock
        self._refresh_s = refresh_s
        self._keys_max = keys_max
        self._timeout_s = timeout_s
        self._known: dict[bytes, tuple[Caller | None, float]] = {}

    def remembered(self, hashed: bytes) -> Caller | None:
        """Whose key it is, if that was asked just now."""
        caller, until_s = self._known.get(hashed, (None, 0.0))
        return caller if self._clock.monotonic() < until_s else None

    def was_somebodys(self, hashed: bytes) -> bool:
        """Whether it was a key when it was asked last: looking again is no guess."""
        return self._known.get(hashed, (None, 0.0))[0] is not None

    async def find(self, hashed: bytes) -> Caller | None:
        """Whose key it is; None where it is nobody's. Raises InfraError."""
        caller, until_s = self._known.pop(hashed, (None, 0.0))
        now_s = self._clock.monotonic()
        if now_s >= until_s:
            caller = await self._database.ask(lambda c: find_key(c, hashed), timeout_s=self._timeout_s)
            until_s = now_s + self._refresh_s
        self._known[hashed] = (caller, until_s)
        if len(self._known) > self._keys_max:
            del self._known[next(iter(self._known))]
        return caller


class Admitted:
    """Puts the ``Caller`` into the scope, and answers 401 and 429 itself.

    An account has its requests of the minute; requests of which the account is not known yet are counted to their
    address, so that guessing keys is bounded as well.
    """

    def __init__(
        self, app: App, service: str, keys: ApiKeys, limiter: RateLimiter, origins: Origins, anonymous_account: str
    ) -> None:
        self._app = app
        self._service = service
        self._keys = keys
        self._limiter = limiter
        self._origins = origins
        self._keyless = Caller(anonymous_account, frozenset({"read", "trade"})) if anonymous_account else NOBODY

    async def __call__(self, scope: asgi.Scope, receive: Receive, send: Send) -> None:
        try:
            scope["caller"] = await self._admit(scope)
        except InfraError as error:
            await _answer(send, away(error))
        except Refusal as refusal:
            await _answer(send, refusal)
        else:
            await self._app(scope, receive, send)

    async def _admit(self, scope: asgi.Scope) -> Caller:
        caller = await self._caller(scope)
        if caller.account is not None:
            await self._count(f"account:{caller.account}")
            return caller
        await self._count(_address(scope))
        if scope["path"] not in OPEN_PATHS:
            raise _unauthenticated("a key is needed: send it as the header X-API-Key")
        return caller

    async def _caller(self, scope: asgi.Scope) -> Caller:
        headers = dict(scope["headers"])
        key = headers.get(KEY_HEADER)
        if key is None:
            return self._keyless if self._may_come_without(headers) else NOBODY
        hashed = key_hash(key.decode("latin-1"))
        caller = self._keys.remembered(hashed)
        if caller is None:
            if not self._keys.was_somebodys(hashed):
                await self._count(_address(scope))
            caller = await self._keys.find(hashed)
        if caller is None:
            raise _unauthenticated("no such key, or it was revoked")
        return caller

    def _may_come_without(self, headers: Mapping[bytes, bytes]) -> bool:
        """Not where a page of another origin asks: a browser would let it act as whoever looks at it."""
        origin, host = (headers[name].decode("latin-1") if name in headers else None for name in (b"origin", b"host"))
        return self._origins.allow(origin, host)

    async def _count(self, client: str) -> None:
        wait_s = await self._limiter.wait_s(client)
        if wait_s:
            counter(Metric.RATE_LIMITED).labels(self._service).inc()
            after = str(math.ceil(wait_s))
            raise Refusal(
                429, "too_many_requests", f"too many requests; try again in {after} s", headers={"Retry-After": after}
            )


def caller_of(request: Request) -> Caller:
    caller: Caller = request.scope["caller"]
    return caller


def account_of(request: Request, scope: Scope, named: str | None) -> str:
    """The account a request is about: the caller's, or with the scope ``admin`` any that is named.

    Raises Refusal (403) where the caller may not.
    """
    caller = caller_of(request)
    own = caller.account
    if own is None or (named is not None and named != own):
        check_scope(caller, "admin")
    else:
        check_scope(caller, scope)
    return named or own or ""


def client_account_of(request: Request, scope: Scope, named: str | None) -> str:
    """The same for what changes something: 400 for the accounts that no client has."""
    account = account_of(request, scope, named)
    if not is_client_account(account):
        raise against_rules("reserved_account", "account", "no client may have this account")
    return account


def check_scope(caller: Caller, scope: Scope) -> None:
    """Raise Refusal (403) for a caller without the scope; ``admin`` has them all."""
    if scope not in caller.scopes and "admin" not in caller.scopes:
        raise Refusal(403, "forbidden", f"this needs a key with the scope {scope}")


def _unauthenticated(message: str) -> Refusal:
    return Refusal(401, "unauthenticated", message, headers={"WWW-Authenticate": "X-API-Key"})


def _address(scope: asgi.Scope) -> str:
    return client_of(scope["client"][0] if scope.get("client") else "")


async def _answer(send: Send, refusal: Refusal) -> None:
    counter(Metric.ORDERS_REFUSALS).labels(refusal.problem.error.code).inc()
    headers: Mapping[bytes, bytes] = {name.lower().encode(): v.encode() for name, v in refusal.headers.items()}
    await asgi.answer(send, refusal.status, refusal.problem, headers)
