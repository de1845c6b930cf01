"""The order lab a second time: slow, obvious, and nothing shared with the first.

Open orders are one list, and the next maker is found by looking at all of them. Nothing is kept that can be worked out:
what is held is the sum over open orders, L2 is a count, stops are looked through after every single trade. Fees and
bands are fractions. Commands and events are plain dicts, as the wire has them; market data is no event here, it is
``depth``.
"""

import math
from fractions import Fraction
from typing import Any

Command = dict[str, Any]
Event = dict[str, Any]
Order = dict[str, Any]
Rules = dict[str, Any]

UNITS_PER_ONE = 10**18
DAY_NS = 86_400 * 10**9
CASCADE_MAX = 100


class Market:
    def __init__(self, open_orders_max: int) -> None:
        self.open_orders_max = open_orders_max
        self.time = 0
        self.symbols: dict[str, Rules] = {}
        self.halted: set[str] = set()
        self.last: dict[str, int] = {}
        self.orders: list[Order] = []
        self.line: list[Order] = []
        """Elected stops."""
        self.totals: dict[tuple[str, str], int] = {}
        """(account, asset) to units, held ones included."""
        self.used: dict[tuple[str, str], int] = {}
        self.priorities = 0
        self.events: list[Event] = []

    # What can be asked

    def depth(self, symbol: str) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
        """(price, quantity) of the bids and of the asks, best first."""
        sides = []
        for side, falling in (("buy", True), ("sell", False)):
            resting = [o for o in self.orders if o["symbol"] == symbol and o["side"] == side and o["where"] == "book"]
            prices = sorted({o["price"] for o in resting}, reverse=falling)
            sides.append([(p, sum(o["remaining"] for o in resting if o["price"] == p)) for p in prices])
        return sides[0], sides[1]

    def balance(self, account: str, asset: str) -> tuple[int, int]:
        """(available, held) units."""
        held = sum(self.needs(o) for o in self.orders if o["account"] == account and self.pays_in(o) == asset)
        return self.totals.get((account, asset), 0) - held, held

    def open_orders(self, account: str) -> list[tuple[str, int, int]]:
        """(id, price, remaining), oldest first."""
        mine = [o for o in self.orders if o["account"] == account]
        return [(o["id"], o["price"], o["remaining"]) for o in sorted(mine, key=lambda o: o["number"])]

    # What happens

    def apply(self, position: int, time: int, command: Command) -> list[Event]:
        self.events = []
        self.time = max(self.time, time)
        self.expire()
        for symbol in self.symbols:
            self.cascade(symbol)
        getattr(self, "do_" + command["command"])(position, command)
        return self.events

    def tell(self, event: str, **fields: Any) -> None:
        self.events.append({"event": event, **fields})

    def tell_order(self, event: str, order: Order, **fields: Any) -> None:
        self.tell(event, account=order["account"], id=order["id"], **fields)

    def expire(self) -> None:
        due = [o for o in self.orders if o["expire_time"] is not None and o["expire_time"] <= self.time]
        for order in sorted(due, key=lambda o: (o["expire_time"], o["number"])):
            self.tell_order("expired", order, remaining=order["remaining"])
            self.orders.remove(order)

    def is_new(self, command: Command) -> bool:
        key = (command["account"], command["id"])
        known = key in self.used and self.time - self.used[key] < DAY_NS
        if known or any((o["account"], o["id"]) == key for o in self.orders):
            return False
        self.used[key] = self.time
        return True

    def do_list(self, _position: int, command: Command) -> None:
        rules: Rules = command["rules"]
        known = self.symbols.get(rules["symbol"], rules)
        fixed = ("base", "quote", "tick_size", "lot_size", "maker_fee_bps", "taker_fee_bps")
        if any(known[name] != rules[name] for name in fixed):
            self.tell("refused", command="list", account="", target=rules["symbol"], reason="symbol_rules")
            return
        self.symbols[rules["symbol"]] = rules
        self.tell("listed", symbol=rules["symbol"])

    def do_halt(self, _position: int, command: Command) -> None:
        symbol = command["symbol"]
        if symbol not in self.symbols:
            self.tell("refused", command="halt", account="", target=symbol, reason="unknown_symbol")
            return
        self.halted.add(symbol)
        self.tell("halted", symbol=symbol)

    def do_resume(self, _position: int, command: Command) -> None:
        symbol = command["symbol"]
        if symbol not in self.symbols:
            self.tell("refused", command="resume", account="", target=symbol, reason="unknown_symbol")
            return
        self.halted.discard(symbol)
        self.tell("resumed", symbol=symbol)
        self.cascade(symbol)

    def do_clock(self, _position: int, _command: Command) -> None:
        pass

    def do_deposit(self, _position: int, command: Command) -> None:
        if self.is_new(command):
            self.transfer(command, command["amount"])

    def do_withdraw(self, _position: int, command: Command) -> None:
        if not self.is_new(command):
            return
        available, _held = self.balance(command["account"], command["asset"])
        if available < command["amount"]:
            self.refuse(command, "insufficient_balance")
        else:
            self.transfer(command, -command["amount"])

    def transfer(self, command: Command, amount: int) -> None:
        account, asset = command["account"], command["asset"]
        self.move(account, asset, amount)
        self.move("", asset, -amount)
        self.tell("transferred", account=account, id=command["id"], asset=asset, amount=amount)

    def move(self, account: str, asset: str, amount: int) -> None:
        self.totals[account, asset] = self.totals.get((account, asset), 0) + amount

    def refuse(self, command: Command, reason: str) -> None:
        name, account, target = command["command"], command["account"], command["id"]
        self.tell("refused", command=name, account=account, target=target, reason=reason)

    # Money

    def pays_in(self, order: Order) -> str:
        rules = self.symbols[order["symbol"]]
        return str(rules["quote"] if order["side"] == "buy" else rules["base"])

    def base_units(self, symbol: str) -> int:
        return int(Fraction(self.symbols[symbol]["lot_size"]) * UNITS_PER_ONE)

    def quote_units(self, symbol: str) -> int:
        rules = self.symbols[symbol]
        return int(Fraction(rules["tick_size"]) * Fraction(rules["lot_size"]) * UNITS_PER_ONE)

    def fee_rate(self, symbol: str, role: str) -> Fraction:
        return Fraction(self.symbols[symbol][f"{role}_fee_bps"], 10_000)

    def needs(self, order: Order) -> int:
        """What the order may still cost."""
        symbol = order["symbol"]
        if order["side"] == "sell":
            return int(order["remaining"] * self.base_units(symbol))
        notional = order["remaining"] * order["price"] * self.quote_units(symbol)
        rate = self.fee_rate(symbol, "maker")
        if not self.rests(order):
            rate = max(rate, self.fee_rate(symbol, "taker"))
        return int(notional + math.ceil(order["fees"] + notional * rate) - math.ceil(order["fees"]))

    def rests(self, order: Order) -> bool:
        """Whether it stands in the book, or would without a trade."""
        if order["where"] == "nowhere" and order["stop_price"] is None and order["time_in_force"] in ("GTC", "GTD"):
            return not self.makers(order)
        return bool(order["where"] == "book")

    def charge(self, order: Order, role: str, notional: int) -> int:
        before = order["fees"]
        order["fees"] = before + notional * self.fee_rate(order["symbol"], role)
        return int(math.ceil(order["fees"]) - math.ceil(before))

    # Entry

    def band(self, symbol: str, around: int | None = None) -> tuple[int, int]:
        rules = self.symbols[symbol]
        middle = int(around or self.last.get(symbol) or rules["reference_price"])
        width = Fraction(rules["band_bps"], 10_000)
        return max(1, math.ceil(middle * (1 - width))), math.floor(middle * (1 + width))

    def do_place(self, position: int, command: Command) -> None:
        if not self.is_new(command):
            return
        if command["symbol"] not in self.symbols:
            self.tell_order("rejected", command, reason="unknown_symbol")
            return
        order = self.entering(position, command)
        reason = self.entry_trouble(order) or self.size_trouble(order) or self.room_trouble(order)
        reason = reason or self.money_trouble(order, 0) or self.post_only_trouble(order)
        if reason:
            self.tell_order("rejected", order, reason=reason)
            return
        names = ("symbol", "side", "price", "quantity")
        self.tell_order("accepted", order, **{name: order[name] for name in names}, rests=self.rests(order))
        self.enter(order, silent=self.rests(order))

    def entering(self, position: int, command: Command) -> Order:
        order = {name: value for name, value in command.items() if name != "command"}
        order |= {"number": position, "remaining": order["quantity"], "fees": Fraction(0), "where": "nowhere"}
        if order["price"] is None:
            lowest, highest = self.band(order["symbol"], order["stop_price"])
            order["price"] = highest if order["side"] == "buy" else lowest
        return order

    def entry_trouble(self, order: Order) -> str | None:
        symbol, stop = order["symbol"], order["stop_price"]
        if symbol in self.halted:
            return "symbol_halted"
        lowest, highest = self.band(symbol, stop)
        if not lowest <= order["price"] <= highest:
            return "price_band"
        if stop is not None and symbol in self.last and self.is_reached(order, self.last[symbol]):
            return "stop_would_trigger"
        if order["expire_time"] is not None and order["expire_time"] <= self.time:
            return "expire_time"
        return None

    def size_trouble(self, order: Order) -> str | None:
        rules = self.symbols[order["symbol"]]
        if not rules["min_quantity"] <= order["quantity"] <= rules["max_quantity"]:
            return "quantity"
        notional = Fraction(order["price"] * order["quantity"] * self.quote_units(order["symbol"]), UNITS_PER_ONE)
        highest = rules["max_notional"]
        if notional < Fraction(rules["min_notional"]) or (highest is not None and notional > Fraction(highest)):
            return "notional"
        return None

    def room_trouble(self, order: Order) -> str | None:
        mine = [o for o in self.orders if o["account"] == order["account"]]
        full = order["time_in_force"] in ("GTC", "GTD") and len(mine) >= self.open_orders_max
        return "too_many_open_orders" if full else None

    def money_trouble(self, order: Order, already_held: int) -> str | None:
        available, _held = self.balance(order["account"], self.pays_in(order))
        return "insufficient_balance" if available + already_held < self.needs(order) else None

    def post_only_trouble(self, order: Order) -> str | None:
        return "post_only_would_take" if order["post_only"] and self.makers(order) else None

    def enter(self, order: Order, *, silent: bool = False) -> None:
        """``silent``: that it rests has been told."""
        self.orders.append(order)
        if order["stop_price"] is not None:
            self.stand(order, "stop")
            return
        self.trade(order, silent=silent)
        self.cascade(order["symbol"])

    def stand(self, order: Order, where: str) -> None:
        self.priorities += 1
        order |= {"where": where, "priority": self.priorities}

    # Trading

    def makers(self, taker: Order) -> list[Order]:
        """The orders that the taker may trade with, in the order in which it has to."""
        buys = taker["side"] == "buy"
        against = [
            o
            for o in self.orders
            if o["symbol"] == taker["symbol"]
            and o["where"] == "book"
            and o["side"] != taker["side"]
            and (o["price"] <= taker["price"] if buys else o["price"] >= taker["price"])
        ]
        return sorted(against, key=lambda o: (o["price"] if buys else -o["price"], o["priority"]))

    def trade(self, taker: Order, *, silent: bool = False) -> None:
        kind = taker["time_in_force"]
        if kind == "FOK" and not self.would_fill(taker):
            self.cancel(taker, "fill_or_kill")
            return
        while taker in self.orders and (makers := self.makers(taker)):
            if makers[0]["account"] == taker["account"]:
                self.prevent_self_trade(makers[0], taker)
            else:
                self.execute(makers[0], taker)
        if taker not in self.orders:
            return
        if kind in ("GTC", "GTD") and taker["type"] in ("limit", "stop_limit"):
            self.stand(taker, "book")
            if not silent:
                self.tell_order("rested", taker, price=taker["price"], remaining=taker["remaining"])
        else:
            self.cancel(taker, "unfilled")

    def would_fill(self, taker: Order) -> bool:
        wanted = taker["remaining"]
        for maker in self.makers(taker):
            if maker["account"] != taker["account"]:
                wanted -= maker["remaining"]
            elif taker["self_trade"] != "cancel_oldest":
                return False
            if wanted <= 0:
                return True
        return False

    def execute(self, maker: Order, taker: Order) -> None:
        symbol, price = maker["symbol"], maker["price"]
        rules = self.symbols[symbol]
        quantity = min(maker["remaining"], taker["remaining"])
        notional = price * quantity * self.quote_units(symbol)
        maker_fee, taker_fee = self.charge(maker, "maker", notional), self.charge(taker, "taker", notional)
        buyer, seller = (taker, maker) if taker["side"] == "buy" else (maker, taker)
        self.move(buyer["account"], rules["base"], quantity * self.base_units(symbol))
        self.move(seller["account"], rules["base"], -quantity * self.base_units(symbol))
        self.move(buyer["account"], rules["quote"], -notional)
        self.move(seller["account"], rules["quote"], notional)
        self.move(maker["account"], rules["quote"], -maker_fee)
        self.move(taker["account"], rules["quote"], -taker_fee)
        self.move("fees of the exchange", rules["quote"], maker_fee + taker_fee)
        for order in (maker, taker):
            order["remaining"] -= quantity
            if not order["remaining"]:
                self.orders.remove(order)
        self.tell(
            "execution",
            symbol=symbol,
            price=price,
            quantity=quantity,
            taker_side=taker["side"],
            **{f"maker_{name}": maker[name] for name in ("account", "id", "remaining")},
            maker_fee=maker_fee,
            **{f"taker_{name}": taker[name] for name in ("account", "id", "remaining")},
            taker_fee=taker_fee,
        )
        self.last[symbol] = price
        self.elect(symbol, price, taker["side"])

    def prevent_self_trade(self, maker: Order, taker: Order) -> None:
        instruction = taker["self_trade"]
        if instruction == "decrement_and_cancel":
            less = min(maker["remaining"], taker["remaining"])
            for order in (maker, taker):
                if order["remaining"] == less:
                    self.cancel(order, "self_trade")
                else:
                    order["remaining"] -= less
                    order["quantity"] -= less
                    self.tell_order("decremented", order, quantity=less, remaining=order["remaining"])
            return
        if instruction != "cancel_newest":
            self.cancel(maker, "self_trade")
        if instruction != "cancel_oldest":
            self.cancel(taker, "self_trade")

    def cancel(self, order: Order, reason: str) -> None:
        self.tell_order("cancelled", order, remaining=order["remaining"], reason=reason)
        self.orders.remove(order)

    # Stops

    def is_reached(self, order: Order, price: int) -> bool:
        return bool(price >= order["stop_price"] if order["side"] == "buy" else price <= order["stop_price"])

    def elect(self, symbol: str, price: int, taker_side: str) -> None:
        """After each trade: a buyer's trades reach sell stops first (only its first can), a seller's buy stops."""
        waiting = [o for o in self.orders if o["symbol"] == symbol and o["where"] == "stop"]
        reached = [o for o in waiting if self.is_reached(o, price)]
        sells = [o for o in reached if o["side"] == "sell"]
        buys = [o for o in reached if o["side"] == "buy"]
        sells.sort(key=lambda o: (-o["stop_price"], o["priority"]))
        buys.sort(key=lambda o: (o["stop_price"], o["priority"]))
        for order in sells + buys if taker_side == "buy" else buys + sells:
            order["where"] = "line"
            self.line.append(order)

    def cascade(self, symbol: str) -> None:
        triggered = 0
        while triggered < CASCADE_MAX:
            mine = [o for o in self.line if o["symbol"] == symbol]
            if not mine or symbol in self.halted:
                return
            self.line.remove(mine[0])
            if mine[0] in self.orders:
                self.trigger(mine[0])
                triggered += 1

    def trigger(self, order: Order) -> None:
        order["stop_price"] = None
        if order["type"] == "stop":
            order |= {"type": "market", "time_in_force": "IOC", "expire_time": None}
        else:
            order["type"] = "limit"
        self.tell_order("triggered", order)
        self.trade(order)

    # Leaving and changing

    def find(self, command: Command) -> Order | None:
        key = command["account"], command["id"]
        return next((o for o in self.orders if (o["account"], o["id"]) == key), None)

    def do_cancel(self, _position: int, command: Command) -> None:
        order = self.find(command)
        if order is None:
            self.refuse(command, "unknown_order")
        else:
            self.cancel(order, "requested")

    def do_cancel_all(self, _position: int, command: Command) -> None:
        mine = [o for o in self.orders if o["account"] == command["account"]]
        for order in sorted(mine, key=lambda o: o["number"]):
            if command["symbol"] in (None, order["symbol"]):
                self.cancel(order, "requested")

    def do_replace(self, _position: int, command: Command) -> None:
        order = self.find(command)
        reason = "unknown_order" if order is None else self.replace(order, command)
        if reason:
            self.refuse(command, reason)

    def replace(self, order: Order, command: Command) -> str | None:
        limited = order["type"] in ("limit", "stop_limit")
        if command["price"] is not None and not limited:
            return "price"
        if command["stop_price"] is not None and order["stop_price"] is None:
            return "stop_price"
        filled = order["quantity"] - order["remaining"]
        quantity = command["quantity"] or order["quantity"]
        if quantity <= filled:
            self.cancel(order, "replaced")
            return None
        twin = order | {"quantity": quantity, "remaining": quantity - filled, "where": "nowhere"}
        twin["stop_price"] = command["stop_price"] or order["stop_price"]
        if limited:
            twin["price"] = command["price"] or order["price"]
        elif command["stop_price"]:
            lowest, highest = self.band(order["symbol"], twin["stop_price"])
            twin["price"] = highest if order["side"] == "buy" else lowest
        moved = (twin["price"], twin["stop_price"]) != (order["price"], order["stop_price"])
        if moved or quantity > order["quantity"]:
            reason = self.move_trouble(order, twin)
            if reason:
                return reason
            self.orders.remove(order)
            self.tell_replaced(twin, kept_priority=False)
            self.enter(twin)
            return None
        reason = self.size_trouble(twin)
        if reason:
            return reason
        order |= twin | {"where": order["where"]}
        self.tell_replaced(order, kept_priority=True)
        return None

    def move_trouble(self, order: Order, twin: Order) -> str | None:
        if order["where"] == "line":
            return "stop_triggered"
        reason = self.entry_trouble(twin) or self.size_trouble(twin)
        return reason or self.money_trouble(twin, self.needs(order)) or self.post_only_trouble(twin)

    def tell_replaced(self, order: Order, *, kept_priority: bool) -> None:
        names = ("price", "stop_price", "quantity", "remaining")
        self.tell_order("replaced", order, **{name: order[name] for name in names}, kept_priority=kept_priority)
