"""The validator's interface: ``market_data.proto``, and the messages generated from it by

    python -m grpc_tools.protoc -I. --python_out=. --pyi_out=. market_data.proto

in this folder. The methods' paths are here, as gRPC has them on the wire; there is no need for generated stubs.
"""

SERVICE = "marketdata.MarketDataProcessor"
PROCESS_STREAM = f"/{SERVICE}/ProcessStream"
PROCESS_BATCH = f"/{SERVICE}/ProcessBatch"

RESTARTING = "the server is restarting: connect again"
"""The details of the ``UNAVAILABLE`` with which the validator ends a stream that it leaves: it has answered everything
that it took, so that what is not answered can be sent again elsewhere."""
