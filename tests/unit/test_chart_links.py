"""The charts' two links, which a copy that keeps no links would turn into files: Helm could render nothing then."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("link", "target"),
    [("charts/tickplane/charts/service", "charts/service"), ("charts/tickplane/files/monitoring", "monitoring")],
)
def test_a_link_of_the_chart_leads_to_its_folder(link: str, target: str) -> None:
    assert (ROOT / link).is_dir()
    assert (ROOT / link).resolve() == (ROOT / target).resolve()
