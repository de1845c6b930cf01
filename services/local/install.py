"""``python -m services.local.install``: what `make run` needs beyond Python packages, once a machine."""

import asyncio
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from services.contracts.errors import InfraError
from services.local.kafka import jars, java
from services.local.parts import Kafka
from services.local.ports import free_port


async def _train_kafka() -> None:
    with TemporaryDirectory() as folder:
        kafka = Kafka(Path(folder) / "kafka", free_port(), free_port(), train=True)
        await kafka.start()
        await kafka.stop()


def main() -> None:
    try:
        if not java.cache_path(jars.class_path()).exists():
            print("preparing Kafka, so that it starts in a second or two from now on", flush=True)
            asyncio.run(_train_kafka())
    except InfraError as error:
        print(f"tickplane: {error}", file=sys.stderr)
        raise SystemExit(1) from None


if __name__ == "__main__":
    main()
