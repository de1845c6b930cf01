"""The 20-minute VWAP by its definition: every tick kept, every window summed anew, in fractions."""

from fractions import Fraction

WINDOW_NS = 20 * 60 * 10**9


class WindowedAverage:
    """Ticks of one instrument, in any order."""

    def __init__(self) -> None:
        self._ticks: list[tuple[int, Fraction, int]] = []

    def add(self, time: int, price: float, volume: int) -> None:
        self._ticks.append((time, Fraction(price), volume))

    def vwap(self, time: int) -> float:
        """Over (time - 20 min, time], rounded once; 0 where there is nothing."""
        inside = [(price, volume) for at, price, volume in self._ticks if time - WINDOW_NS < at <= time]
        volume = sum(volume for _, volume in inside)
        return float(sum((price * v for price, v in inside), Fraction()) / volume) if volume else 0.0
