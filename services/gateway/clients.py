"""What every socket has, whatever it is for. No task a client, and few bytes: thousands of them are held."""

from collections.abc import Callable
from typing import Protocol

from picows import WSFrame, WSListener, WSMsgType, WSTransport

GOING_AWAY = 1001
SLOW_CLIENT = 4008
BAD_FRAMES = 4400
TOO_MANY_CONNECTIONS = 4429
UNKNOWN_PRODUCT = 4504
"""1001, 1011 and 4000 to 4499 invite the client back, 4500 to 4999 do not."""


class Host(Protocol):
    """The server, as far as its clients need it."""

    def opened(self, client: "Client") -> None: ...
    def closed(self, client: "Client") -> None: ...
    def too_slow(self, client: "Client") -> None: ...
    def cut_off_later(self, transport: WSTransport) -> None: ...


class Client(WSListener):
    """One connection. ``write`` takes whole frames; after ``close`` they go nowhere.

    A kind of socket is a subclass, which says what becomes of it when it is let in (``entered``), says something
    (``said``), is not reading (``pause_writing``, ``resume_writing``) and has gone (``left``).
    """

    __slots__ = ("address", "closing", "host", "let_in", "request_id", "transport", "write")

    kind = ""
    """What metrics and logs call it."""
    goodbye_frames = False
    """Whether it is told that the gateway stops before it is closed."""

    def __init__(self, host: Host, request_id: str) -> None:
        self.host = host
        self.request_id = request_id
        self.address = ""
        self.transport: WSTransport | None = None
        self.write: Callable[[bytes], None] = _nowhere
        self.let_in = False
        self.closing = False

    def entered(self) -> None:
        """It is within all limits."""

    def left(self) -> None:
        """It is closing, or gone. Called once, and only for who had entered."""

    def said(self, frame: WSFrame) -> None:
        """A frame of the client that does not close."""

    def about(self) -> dict[str, str]:
        """What the log says of it."""
        return {"channel": self.kind}

    def send(self, frame: bytes) -> None:
        """A whole frame, at once."""
        self.write(frame)

    def overflow(self) -> None:
        """More waits for it than may."""
        if not self.closing:
            self.host.too_slow(self)

    def close(self, code: int, reason: str) -> None:
        """Say goodbye; a client that does not answer in time is cut off."""
        if self.closing or self.transport is None:
            return
        self._leave()
        self.transport.send_close(code, reason)  # type: ignore[arg-type]  # the stub knows the standard codes only
        self.host.cut_off_later(self.transport)

    def send_away(self) -> None:
        """The gateway stops. A kind that is owed something may wait for it first."""
        self.close(GOING_AWAY, "the gateway restarts")

    def on_ws_connected(self, transport: WSTransport) -> None:
        self.transport = transport
        # What `write` does once it has checked the thread and the type, which for thousands of clients is time.
        self.write = transport.underlying_transport.write_nocheck  # type: ignore[attr-defined]  # it is aiofastnet's
        self.host.opened(self)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.CLOSE:
            self._leave()
            transport.send_close(frame.get_close_code())
            transport.disconnect()
        elif not self.closing:
            self.said(frame)

    def on_ws_disconnected(self, _transport: WSTransport) -> None:
        self._leave()
        self.host.closed(self)

    def pause_writing(self) -> None:
        self.overflow()

    def resume_writing(self) -> None:
        """A client that was too slow stays closed."""

    def _leave(self) -> None:
        self.write = _nowhere
        if not self.closing and self.let_in:
            self.left()
        self.closing = True


def _nowhere(_data: bytes) -> None:
    """Where frames for a closed connection go."""
