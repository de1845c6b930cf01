"""Settings of recording and replaying."""

from pydantic import Field

from services.runtime.settings import Settings


class ReplaySettings(Settings):
    replay_history_trades_max: int = Field(1_000_000, ge=1_000)
    """Trades of one product that the fake exchange keeps for its REST history: some 200 bytes each."""

    replay_queue_frames_max: int = Field(100_000, ge=100)
    """Frames that may wait for one client. A replay waits for it; live trades close it with 1008, as exchanges do."""

    replay_frames_max: int = Field(5_000_000, ge=1)
    """Frames of one replay, which are all held in memory."""

    replay_lead_s: float = Field(1.0, ge=0, le=3600)
    """From the first subscription to the first frame, so that a client's other subscriptions are in time."""

    record_file_bytes_max: int = Field(256 << 20, ge=1 << 10)
    """Bytes of one file of a recording, before compression; the next goes into another file."""

    record_files_max: int = Field(16, ge=1, le=10_000)
    """Files of one recording: it stops when the last is full, since what is recorded is never deleted."""

    record_silence_s: float = Field(60, gt=0, le=3600)
    """A recording's connection without a message for so long is opened again, where the venue has no shorter limit."""


SETTINGS = ReplaySettings
