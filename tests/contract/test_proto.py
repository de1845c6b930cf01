"""The gRPC contract only grows: what is removed, renumbered or retyped would break those who call it."""

import sys
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import grpc_tools  # type: ignore[import-untyped]
from google.protobuf import text_format
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    ServiceDescriptorProto,
)
from grpc_tools import protoc

from services.contracts.proto import PROCESS_BATCH, PROCESS_STREAM, SERVICE, market_data_pb2

PROTO = Path(str(files("services.contracts") / "proto"))
GENERATED = ("market_data_pb2.py", "market_data_pb2.pyi")
RECORDED = Path(__file__).parent / "market_data.textproto"

Numbered = dict[str, tuple[object, ...]]


def current() -> FileDescriptorProto:
    found = FileDescriptorProto()
    market_data_pb2.DESCRIPTOR.CopyToProto(found)
    return found


def recorded() -> FileDescriptorProto:
    return text_format.Parse(RECORDED.read_text(), FileDescriptorProto())


def _field(field: FieldDescriptorProto) -> tuple[object, ...]:
    return (field.name, field.type, field.label, field.type_name, field.proto3_optional)


def _message(message: DescriptorProto, path: str) -> Iterator[tuple[str, tuple[object, ...]]]:
    yield path, ()
    for field in message.field:
        yield f"{path}#{field.number}", _field(field)
    for enum in message.enum_type:
        yield from _enum(enum, f"{path}.{enum.name}")
    for nested in message.nested_type:
        yield from _message(nested, f"{path}.{nested.name}")


def _enum(enum: EnumDescriptorProto, path: str) -> Iterator[tuple[str, tuple[object, ...]]]:
    for value in enum.value:
        yield f"{path}#{value.number}", (value.name,)


def _service(service: ServiceDescriptorProto) -> Iterator[tuple[str, tuple[object, ...]]]:
    for method in service.method:
        streaming = (method.client_streaming, method.server_streaming)
        yield f"{service.name}/{method.name}", (method.input_type, method.output_type, *streaming)


def promises(file: FileDescriptorProto) -> Numbered:
    """Everything that others rely on, by its place on the wire."""
    found: Numbered = {"package": (file.package, file.syntax)}
    for message in file.message_type:
        found.update(_message(message, message.name))
    for enum in file.enum_type:
        found.update(_enum(enum, enum.name))
    for service in file.service:
        found.update(_service(service))
    return found


def broken(old: FileDescriptorProto, new: FileDescriptorProto) -> list[str]:
    now = promises(new)
    return [
        f"{place}: was {what}, is {now.get(place)}" for place, what in promises(old).items() if now.get(place) != what
    ]


def test_what_was_published_still_holds() -> None:
    assert broken(recorded(), current()) == []


def test_removals_renumberings_and_changes_of_type_are_found() -> None:
    changed = current()
    tick, trade = changed.message_type[0], changed.message_type[1]
    tick.field[2].number = 9
    tick.field[3].type = FieldDescriptorProto.TYPE_UINT64
    trade.enum_type[0].value[1].number = 5
    del trade.field[7]
    changed.service[0].method[0].server_streaming = False
    assert len(broken(current(), changed)) == 5


def test_an_addition_is_fine() -> None:
    grown = current()
    grown.message_type[0].field.add(name="venue", number=20, type=FieldDescriptorProto.TYPE_STRING)
    assert broken(current(), grown) == []


def test_the_numbers_are_those_promised() -> None:
    """The numbers as users have them, independent of any file recorded here."""
    raw, trade = market_data_pb2.RawMarketTick.DESCRIPTOR, market_data_pb2.ValidatedTrade.DESCRIPTOR
    assert {f.name: f.number for f in raw.fields if f.number < 15} == {
        "instrument_id": 1,
        "price": 2,
        "volume": 3,
        "timestamp_ns": 4,
    }
    assert {f.name: f.number for f in trade.fields} == {
        "trade_id": 1,
        "instrument_id": 2,
        "price": 3,
        "volume": 4,
        "timestamp_ns": 5,
        "status": 6,
        "reason": 7,
        "vwap_20m": 8,
    }
    assert dict(market_data_pb2.ValidatedTrade.Status.items()) == {"UNKNOWN": 0, "VALID": 1, "INVALID": 2}
    methods = market_data_pb2.DESCRIPTOR.services_by_name["MarketDataProcessor"].methods_by_name
    assert {f"/{SERVICE}/{name}" for name in methods} == {PROCESS_STREAM, PROCESS_BATCH}


def test_the_messages_are_generated_from_the_file(tmp_path: Path) -> None:
    include = Path(grpc_tools.__file__).parent / "_proto"
    arguments = [f"-I{PROTO}", f"-I{include}", f"--python_out={tmp_path}", f"--pyi_out={tmp_path}", "market_data.proto"]
    assert protoc.main(["protoc", *arguments]) == 0, sys.stderr
    for name in GENERATED:
        assert (tmp_path / name).read_text() == (PROTO / name).read_text(), (
            f"generate {name} again: see proto/__init__.py"
        )
