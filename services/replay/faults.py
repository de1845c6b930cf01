"""What a fake exchange may do wrong, and when."""

from collections import deque

import msgspec


class Action(msgspec.Struct, frozen=True, tag_field="do", tag=str.lower):
    """The base of all of them. In a script's JSON, ``do`` is the name in lower case."""


class Close(Action, frozen=True):
    """A WebSocket close: 1000 and 1001 are normal, 1011 is the server's failure."""

    code: int = 1011
    reason: str = ""


class Reset(Action, frozen=True):
    """The TCP connection is reset: no close frame, no FIN."""


class Refuse(Action, frozen=True):
    """The handshake is answered with this HTTP status (451: geo-blocked, 429, 503), whatever the trigger says."""

    status: int = 503


class Silence(Action, frozen=True):
    """Nothing is sent or read for so long, not even a pong; what would have been sent is gone. 0 is for ever."""

    seconds: float = 0.0


class Slow(Action, frozen=True):
    """Each of the next frames waits so long before it is sent; those behind it wait too."""

    delay_s: float
    frames: int = 1


class Drop(Action, frozen=True):
    """The next frames of trades are never sent; their sequence numbers are used up."""

    frames: int = 1


class Repeat(Action, frozen=True):
    """The next frames of trades are sent twice."""

    frames: int = 1


class Reorder(Action, frozen=True):
    """The next frames of trades are held back and sent in reverse."""

    frames: int = 2


class Garbage(Action, frozen=True):
    """One frame that is not of the protocol."""

    text: str = '{"this is not JSON'


class ServerShutdown(Action, frozen=True):
    """Binance's announcement that this server is about to go."""


AnyAction = Close | Reset | Refuse | Silence | Slow | Drop | Repeat | Reorder | Garbage | ServerShutdown


class Fault(msgspec.Struct, frozen=True):
    """One action of a script. It happens once on each connection that it is meant for.

    ``connection`` counts handshakes from 1; None is every one of them. It begins once ``after_frames`` frames of trades
    have been sent, or, where ``after_s`` is given, so many seconds after the connection opened.
    """

    action: AnyAction
    connection: int | None = 1
    after_frames: int = 0
    after_s: float | None = None

    def is_for(self, connection: int) -> bool:
        return self.connection in (None, connection)


class Distortion:
    """What becomes of a connection's frames of trades. Pure: the connection sends what comes out."""

    def __init__(self) -> None:
        self._dropping = 0
        self._repeating = 0
        self._holding = 0
        self._held: deque[str] = deque()

    def begin(self, action: Drop | Repeat | Reorder) -> None:
        match action:
            case Drop():
                self._dropping += action.frames
            case Repeat():
                self._repeating += action.frames
            case Reorder():
                self._holding = action.frames

    def through(self, frame: str) -> list[str]:
        """The frames to send in place of this one, in order."""
        if self._dropping:
            self._dropping -= 1
            return []
        if self._holding:
            return self._hold(frame)
        if self._repeating:
            self._repeating -= 1
            return [frame, frame]
        return [frame]

    def _hold(self, frame: str) -> list[str]:
        self._held.appendleft(frame)
        self._holding -= 1
        if self._holding:
            return []
        released = list(self._held)
        self._held.clear()
        return released


def read_script(body: bytes) -> list[Fault]:
    """A script: a JSON array such as ``[{"action":{"do":"close","code":1011},"after_frames":100}]``.

    Raises ValueError for one that is not.
    """
    return msgspec.json.decode(body, type=list[Fault])
