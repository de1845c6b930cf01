"""Which records of a partition are repeats: a function of the log alone, so that every gateway says the same."""

from collections import deque


class Repeats:
    """The identities of the last ``window`` records of one partition."""

    def __init__(self, window: int) -> None:
        self._window = window
        self._newest: dict[str, int] = {}
        self._order: deque[tuple[int, str]] = deque()

    def add(self, offset: int, identity: str) -> bool:
        """Whether the identity occurs among the ``window`` records before ``offset``. Offsets must rise."""
        last = self._newest.get(identity)
        self._newest[identity] = offset
        self._order.append((offset, identity))
        self._forget_before(offset - self._window)
        return last is not None and offset - last <= self._window

    def _forget_before(self, first: int) -> None:
        while self._order and self._order[0][0] < first:
            offset, identity = self._order.popleft()
            if self._newest.get(identity) == offset:
                del self._newest[identity]
