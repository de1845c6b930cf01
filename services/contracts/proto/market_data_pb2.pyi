from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class RawMarketTick(_message.Message):
    __slots__ = ("instrument_id", "price", "volume", "timestamp_ns", "traceparent")
    INSTRUMENT_ID_FIELD_NUMBER: _ClassVar[int]
    PRICE_FIELD_NUMBER: _ClassVar[int]
    VOLUME_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_NS_FIELD_NUMBER: _ClassVar[int]
    TRACEPARENT_FIELD_NUMBER: _ClassVar[int]
    instrument_id: str
    price: float
    volume: int
    timestamp_ns: int
    traceparent: str
    def __init__(self, instrument_id: _Optional[str] = ..., price: _Optional[float] = ..., volume: _Optional[int] = ..., timestamp_ns: _Optional[int] = ..., traceparent: _Optional[str] = ...) -> None: ...

class ValidatedTrade(_message.Message):
    __slots__ = ("trade_id", "instrument_id", "price", "volume", "timestamp_ns", "status", "reason", "vwap_20m")
    class Status(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        UNKNOWN: _ClassVar[ValidatedTrade.Status]
        VALID: _ClassVar[ValidatedTrade.Status]
        INVALID: _ClassVar[ValidatedTrade.Status]
    UNKNOWN: ValidatedTrade.Status
    VALID: ValidatedTrade.Status
    INVALID: ValidatedTrade.Status
    TRADE_ID_FIELD_NUMBER: _ClassVar[int]
    INSTRUMENT_ID_FIELD_NUMBER: _ClassVar[int]
    PRICE_FIELD_NUMBER: _ClassVar[int]
    VOLUME_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_NS_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    VWAP_20M_FIELD_NUMBER: _ClassVar[int]
    trade_id: str
    instrument_id: str
    price: float
    volume: int
    timestamp_ns: int
    status: ValidatedTrade.Status
    reason: str
    vwap_20m: float
    def __init__(self, trade_id: _Optional[str] = ..., instrument_id: _Optional[str] = ..., price: _Optional[float] = ..., volume: _Optional[int] = ..., timestamp_ns: _Optional[int] = ..., status: _Optional[_Union[ValidatedTrade.Status, str]] = ..., reason: _Optional[str] = ..., vwap_20m: _Optional[float] = ...) -> None: ...

class RawMarketTickBatch(_message.Message):
    __slots__ = ("ticks",)
    TICKS_FIELD_NUMBER: _ClassVar[int]
    ticks: _containers.RepeatedCompositeFieldContainer[RawMarketTick]
    def __init__(self, ticks: _Optional[_Iterable[_Union[RawMarketTick, _Mapping]]] = ...) -> None: ...

class ValidatedTradeBatch(_message.Message):
    __slots__ = ("trades",)
    TRADES_FIELD_NUMBER: _ClassVar[int]
    trades: _containers.RepeatedCompositeFieldContainer[ValidatedTrade]
    def __init__(self, trades: _Optional[_Iterable[_Union[ValidatedTrade, _Mapping]]] = ...) -> None: ...
