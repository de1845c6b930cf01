"""``python monitoring/generate.py``: Grafana's dashboards, from the boards in ``monitoring/boards``."""

import json
from pathlib import Path

from monitoring.boards import dependencies, feeds, gateway, operator, order_lab, overview, pipeline

MONITORING = Path(__file__).parent
BOARDS = tuple(module.BOARD for module in (overview, feeds, pipeline, gateway, order_lab, operator, dependencies))


def generated() -> dict[Path, str]:
    """Every generated file, as it should be."""
    return {
        MONITORING / f"dashboards/{board.name}.json": json.dumps(board.as_json(), indent=2, ensure_ascii=False) + "\n"
        for board in BOARDS
    }


def main() -> None:
    for path, text in generated().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


if __name__ == "__main__":
    main()
