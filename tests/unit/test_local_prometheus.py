"""How `make run` has itself watched."""

from services.local.prometheus import RULES, configuration


def test_a_job_is_a_service_whatever_its_processes_are_called() -> None:
    targets = [("api", "http://127.0.0.1:1/metrics"), *(("feed", f"http://127.0.0.1:{n}/metrics") for n in (2, 3))]
    labels = {"namespace": "local"}
    assert configuration(targets)["scrape_configs"] == [
        {"job_name": "api", "static_configs": [{"targets": ["127.0.0.1:1"], "labels": labels}]},
        {"job_name": "feed", "static_configs": [{"targets": ["127.0.0.1:2", "127.0.0.1:3"], "labels": labels}]},
    ]


def test_the_rules_are_those_of_the_chart() -> None:
    assert configuration([])["rule_files"] == [str(RULES / "*.yaml")]
    assert list(RULES.glob("*.yaml"))
