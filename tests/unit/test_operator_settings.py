"""Which namespaces the operator serves."""

import pytest

from market_operator.settings import OperatorSettings


@pytest.mark.parametrize(
    ("given", "served"),
    [("", ("tickplane",)), ("a, b", ("a", "b")), ("*", ()), ("a,*", ())],
)
def test_the_namespaces_served(given: str, served: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TICKPLANE_OPERATOR_NAMESPACE", "tickplane")
    monkeypatch.setenv("TICKPLANE_OPERATOR_WATCH_NAMESPACES", given)
    assert OperatorSettings.load(_env_file=None).namespaces == served


def test_what_pods_are_made_of_is_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TICKPLANE_FEED_LIMITS", '{"memory": "1Gi"}')
    monkeypatch.setenv("TICKPLANE_FEED_IMAGE_PULL_SECRETS", "one,two")
    settings = OperatorSettings.load(_env_file=None)
    assert (settings.feed_limits, settings.feed_image_pull_secrets) == ({"memory": "1Gi"}, ("one", "two"))
