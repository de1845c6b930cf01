"""The README's table of settings is what the classes say."""

from pathlib import Path

from services.__main__ import settings_classes
from services.cli.settings_table import as_markdown, rows

README = Path(__file__).parents[2] / "README.md"
BEGIN = "<!-- settings: `tickplane settings --markdown` writes what follows -->\n"
END = "\n<!-- /settings -->"


def test_the_readme_has_every_setting() -> None:
    text = README.read_text()
    assert text.partition(BEGIN)[2].partition(END)[0] == as_markdown(rows(settings_classes())), (
        "replace the table in README.md by what `tickplane settings --markdown` prints"
    )


def test_every_setting_says_what_it_is() -> None:
    assert [variable for variable, *_, what in rows(settings_classes()) if not what.endswith(".")] == []
