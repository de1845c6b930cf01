"""``python -m market_operator.generate``: write what is made from the types, into the checkout.

``python -m market_operator.generate --rules`` prints the rules of the operator's Role instead.
"""

import sys
from pathlib import Path

import yaml

from market_operator.crd import crd
from market_operator.permissions import rules
from market_operator.reference import reference

ROOT = Path(__file__).parents[2]


def files() -> dict[Path, str]:
    """Each generated file's path below the checkout, and its text."""
    return {
        Path("charts/tickplane/files/crd/marketfeeds.yaml"): as_yaml(crd()),
        Path("docs/marketfeed.md"): reference(),
    }


def as_yaml(document: object) -> str:
    return yaml.safe_dump(document, sort_keys=False, width=120, allow_unicode=True)


def main() -> None:
    if sys.argv[1:] == ["--rules"]:
        sys.stdout.write(as_yaml(rules()))
        return
    for path, text in files().items():
        (ROOT / path).parent.mkdir(parents=True, exist_ok=True)
        (ROOT / path).write_text(text)


if __name__ == "__main__":
    main()
