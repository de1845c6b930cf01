"""Whether an object is as wanted: what others changed shows, what they added and how amounts are written does not."""

from copy import deepcopy
from typing import Any

import pytest

from market_operator.drift import WANTED, is_as_wanted, marked

Object = dict[str, Any]

DEPLOYMENT: Object = {
    "kind": "Deployment",
    "metadata": {"name": "a", "labels": {"x": "1"}, "ownerReferences": [{"uid": "u", "controller": True}]},
    "spec": {
        "replicas": 1,
        "template": {
            "spec": {
                "containers": [
                    {
                        "name": "feed",
                        "args": ["feed"],
                        "env": [{"name": "A", "value": "1"}],
                        "ports": [{"containerPort": 9000, "protocol": "TCP"}],
                        "resources": {"limits": {"cpu": "1000m", "memory": "1024Mi"}},
                    }
                ],
                "volumes": [{"name": "tmp", "emptyDir": {}}],
                "tolerations": [{"key": "a"}],
            }
        },
    },
}


def _container(item: Object) -> Object:
    found: Object = item["spec"]["template"]["spec"]["containers"][0]
    return found


def _live() -> Object:
    """As the API server gives it back in a list: no kind, defaults added, amounts in their shortest form."""
    live = marked(deepcopy(DEPLOYMENT))
    del live["kind"]
    live["metadata"]["uid"] = "d"
    live["status"] = {"replicas": 1}
    live["spec"]["progressDeadlineSeconds"] = 600
    _container(live)["resources"]["limits"] = {"cpu": "1", "memory": "1Gi"}
    _container(live)["terminationMessagePath"] = "/dev/termination-log"
    return live


def test_what_the_api_server_makes_of_it_is_as_wanted() -> None:
    assert is_as_wanted(marked(DEPLOYMENT), _live())


@pytest.mark.parametrize(
    "add",
    [
        lambda live: _container(live)["env"].append({"name": "B", "value": "2"}),
        lambda live: _container(live)["ports"].append({"containerPort": 1, "protocol": "TCP"}),
        lambda live: live["spec"]["template"]["spec"]["containers"].insert(0, {"name": "sidecar"}),
        lambda live: live["metadata"]["ownerReferences"].append({"uid": "v"}),
        lambda live: live["metadata"]["labels"].update(team="a"),
    ],
)
def test_what_others_added_is_theirs(add: Any) -> None:
    live = _live()
    add(live)
    assert is_as_wanted(marked(DEPLOYMENT), live)


@pytest.mark.parametrize(
    "change",
    [
        lambda live: live["spec"].update(replicas=0),
        lambda live: _container(live)["env"][0].update(value="2"),
        lambda live: _container(live).update(env=[]),
        lambda live: _container(live)["args"].append("--more"),
        lambda live: _container(live)["resources"]["limits"].update(cpu="2"),
        lambda live: _container(live)["resources"]["limits"].pop("memory"),
        lambda live: live["spec"]["template"]["spec"]["tolerations"].append({"key": "b"}),
        lambda live: live["spec"]["template"]["spec"].pop("volumes"),
        lambda live: live["metadata"].pop("labels"),
        lambda live: live["metadata"]["annotations"].pop(WANTED),
    ],
)
def test_what_others_changed_shows(change: Any) -> None:
    live = _live()
    change(live)
    assert not is_as_wanted(marked(DEPLOYMENT), live)


def test_a_field_wanted_no_longer_shows() -> None:
    less = deepcopy(DEPLOYMENT)
    del less["spec"]["template"]["spec"]["tolerations"]
    assert not is_as_wanted(marked(less), _live())
