"""An example of a rule that is plugged in: an entry point of the group ``tickplane.rules`` names the class."""

from services.domain.validation import VALID, Tick, Verdict, invalid

NOTIONAL_MAX = 10_000_000.0


class NotionalCap:
    """Refuses a tick whose price x volume is above 10 million: more likely a slip of the finger than a trade."""

    def check(self, tick: Tick) -> Verdict:
        if tick.price * tick.volume <= NOTIONAL_MAX:
            return VALID
        return invalid(f"Notional above {NOTIONAL_MAX:.0f}")
