"""A made-up order lab behind the made-up edge: a book that is written by hand, orders that become what a test says.

It is no engine. What is refused, lost, numbered wrongly or answered by another replica is decided by the test.
"""

import zlib
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

Document = dict[str, Any]
SYMBOL = "DEMO-USD"
TICKS_PER_ONE = 100
LOTS_PER_ONE = 1_000
CHECKSUM_LEVELS = 10
RULES: Document = {
    "symbol": SYMBOL,
    "base": "DEMO",
    "quote": "USD",
    "tick_size": "0.01",
    "lot_size": "0.001",
    "reference_price": "100",
    "min_quantity": None,
    "max_quantity": "1000",
    "min_notional": "1",
    "max_notional": None,
    "band_bps": 1000,
    "maker_fee_bps": 10,
    "taker_fee_bps": 20,
    "market_group": 0,
    "halted": False,
}
ACCOUNTS = {None: "alice", "bobs-key": "bob"}


@dataclass
class Asked:
    method: str
    path: str
    query: dict[str, list[str]]
    key: str | None
    body: Document | None


@dataclass
class FakeLab:
    """``asked`` are the requests that came. ``losing``: so many placements are taken and not answered."""

    bids: dict[str, str] = field(default_factory=lambda: {"99.50": "2.000", "99.00": "1.500"})
    asks: dict[str, str] = field(default_factory=lambda: {"100.50": "1.000", "101.00": "0.500"})
    asked: list[Asked] = field(default_factory=list)
    orders: dict[str, Document] = field(default_factory=dict)
    instance: str = "orders-a"
    becomes: str = "resting"
    reason: str | None = None
    refusing: tuple[int, Document] | None = None
    losing: int = 0
    sequence: int = 7
    executions: int = 0

    # The book

    def snapshot(self, channel: str) -> Document:
        if channel == "executions":
            return {"executions": []}
        levels = {"bids": _ordered(self.bids, -1), "asks": _ordered(self.asks, 1)}
        sizes = {"tick_size": RULES["tick_size"], "lot_size": RULES["lot_size"]}
        return {"book_sequence": self.sequence, **levels, "checksum": self.checksum(), **sizes}

    def change(self, side: str, price: str, quantity: str) -> Document:
        """A level is now of this quantity; none of it, and the level is gone."""
        levels = self.bids if side == "bid" else self.asks
        levels.pop(price, None)
        if float(quantity):
            levels[price] = quantity
        self.sequence += 1
        changed: Document = {"bids": [], "asks": []} | {f"{side}s": [[price, quantity]]}
        previous = self.sequence - 1
        return {"book_sequence": self.sequence, "book_previous": previous, **changed, "checksum": self.checksum()}

    def execution(self, price: str, quantity: str, taker_side: str) -> Document:
        self.executions += 1
        return {
            "execution_id": f"0-{self.executions}",
            "price": price,
            "quantity": quantity,
            "taker_side": taker_side,
        }

    def checksum(self) -> int:
        best = [*_ordered(self.bids, -1)[:CHECKSUM_LEVELS], *_ordered(self.asks, 1)[:CHECKSUM_LEVELS]]
        whole = (
            f"{round(float(price) * TICKS_PER_ONE)}:{round(float(quantity) * LOTS_PER_ONE)}" for price, quantity in best
        )
        return zlib.crc32(",".join(whole).encode())

    # REST

    def answer(self, asked: Asked) -> tuple[int, Any] | None:
        """Status and document; None where no answer comes."""
        self.asked.append(asked)
        if asked.key not in ACCOUNTS:
            return 401, _error("unauthenticated", "no such key, or it was revoked")
        match asked.method, asked.path.strip("/").split("/"):
            case "GET", ["whoami"]:
                return 200, self._who(ACCOUNTS[asked.key])
            case "GET", ["v1", "symbols"]:
                return 200, [RULES]
            case "GET", ["v1", "executions"]:
                return 200, {"executions": [], "next_cursor": None}
            case "GET", ["v1", "accounts", account]:
                return 200, {"account": account, "balances": BALANCES}
            case "GET", ["v1", "orders"]:
                is_open = asked.query["state"] == ["open"]
                found = [each for each in self.orders.values() if _is_open(each) is is_open]
                return 200, {"orders": found, "next_cursor": None}
            case "GET", ["v1", "orders", id_] if id_ in self.orders:
                return 200, self.orders[id_] | {"steps": self._steps(id_), "executions": []}
            case "POST", ["v1", "orders"]:
                assert asked.body is not None
                return self._place(asked.body)
            case "DELETE", ["v1", "orders", id_]:
                self.orders[id_] |= {"state": "cancelled", "reason": "requested"}
                return 202, {"status": "received", "id": id_}
        return 404, _error("not_found", "no such thing")

    def placed(self) -> list[Document]:
        return [each.body for each in self.asked if each.method == "POST" and each.body is not None]

    def _place(self, body: Document) -> tuple[int, Any] | None:
        if self.refusing is not None:
            return self.refusing
        self.orders[body["id"]] = _order(body, self.becomes, self.reason)
        if self.losing > 0:
            self.losing -= 1
            return None
        return 202, {"status": "received", "id": body["id"]}

    def _steps(self, id_: str) -> list[Document]:
        order = self.orders[id_]
        states = dict.fromkeys(["received", "accepted", order["state"]])
        return [
            {"state": state, "reason": None, "price": order["price"], "quantity": None, "time": _now()}
            | {"remaining": order["remaining"]}
            for state in states
        ]

    def _who(self, account: str) -> Document:
        return {"service": "orders", "instance": self.instance, "account": account, "scopes": ["read", "trade"]}


BALANCES = [{"asset": "DEMO", "available": "50", "held": "0"}, {"asset": "USD", "available": "9849.6", "held": "150.4"}]


def _order(body: Document, state: str, reason: str | None) -> Document:
    optional: Document = {"price": None, "stop_price": None, "expire_time": None, "post_only": False}
    own = {"filled": "0", "filled_quote": "0", "fee": "0", "remaining": body["quantity"], "account": "alice"}
    times = {"received_time": _now(), "updated_time": _now()}
    return optional | body | own | times | {"state": state, "reason": reason}


def _is_open(order: Document) -> bool:
    return order["state"] in {"received", "accepted", "resting", "partially_filled"}


def _ordered(levels: dict[str, str], sign: int) -> list[list[str]]:
    return [[price, levels[price]] for price in sorted(levels, key=lambda price: sign * float(price))]


def _error(code: str, message: str, *fields: Document) -> Document:
    return {"error": {"code": code, "message": message, "fields": list(fields)}}


def refusal(status: int, code: str, path: str, message: str) -> tuple[int, Document]:
    """One that has something against a field."""
    return status, _error(code, f"{path}: {message}", {"path": path, "message": message})


def _now() -> str:
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")
