"""The rules a tick has to meet, and the verdicts with their reasons."""

import math

import pytest

from services.contracts.errors import ConfigError
from services.contracts.events import RawTick
from services.domain.validation import VALID, YEAR_NS, Band, Limits, RuleBook, Tick, Verdict, invalid
from services.domain.vwap import Windows
from services.runtime.clock import NS_PER_S
from services.validator.judge import INSTRUMENT_ID_PUBLISHED_MAX, Judge, load_rules
from services.validator.rules import NotionalCap
from services.validator.settings import ValidatorSettings

NOW_NS = 1_800_000_000 * NS_PER_S


def tick(instrument_id: str = "BTC-USD", price: float = 100.0, volume: int = 10, timestamp_ns: int = NOW_NS) -> RawTick:
    return RawTick(instrument_id, price, volume, timestamp_ns)


GOOD = {
    "usual": tick(),
    "three characters": tick("ABC"),
    "ten characters": tick("ABCDEFGHIJ"),
    "not ASCII": tick("€uro"),
    "lowest price": tick(price=0.01),
    "highest price": tick(price=10_000),
    "smallest volume": tick(volume=1),
    "largest volume": tick(volume=2**63 - 1),
    "ten years old": tick(timestamp_ns=NOW_NS - 10 * YEAR_NS),
    "a minute ahead": tick(timestamp_ns=NOW_NS + 60 * NS_PER_S),
}
BAD = {
    "no instrument": (tick(""), "Instrument id must have 3 to 10 characters, not 0"),
    "two characters": (tick("AB"), "Instrument id must have 3 to 10 characters, not 2"),
    "eleven characters": (tick("ABCDEFGHIJK"), "Instrument id must have 3 to 10 characters, not 11"),
    "below the band": (tick(price=math.nextafter(0.01, 0)), "Price out of acceptable range 0.01 to 10000.0"),
    "above the band": (tick(price=math.nextafter(10_000, math.inf)), "Price out of acceptable range 0.01 to 10000.0"),
    "zero price": (tick(price=0), "Price must be above 0"),
    "negative zero": (tick(price=-0.0), "Price must be above 0"),
    "negative price": (tick(price=-1), "Price must be above 0"),
    "not a number": (tick(price=math.nan), "Price must be a finite number"),
    "infinite": (tick(price=math.inf), "Price must be a finite number"),
    "minus infinite": (tick(price=-math.inf), "Price must be a finite number"),
    "zero volume": (tick(volume=0), "Volume must be above 0"),
    "negative volume": (tick(volume=-(2**63)), "Volume must be above 0"),
    "too old": (tick(timestamp_ns=NOW_NS - 10 * YEAR_NS - 1), "Timestamp too far in the past"),
    "too far ahead": (tick(timestamp_ns=NOW_NS + 60 * NS_PER_S + 1), "Timestamp too far in the future"),
}


@pytest.mark.parametrize("good", GOOD.values(), ids=GOOD)
def test_good_ticks_are_valid(good: RawTick) -> None:
    assert RuleBook(Limits()).check(good, NOW_NS) is VALID


@pytest.mark.parametrize(("bad", "reason"), BAD.values(), ids=BAD)
def test_bad_ticks_are_invalid_and_say_why(bad: RawTick, reason: str) -> None:
    assert RuleBook(Limits()).check(bad, NOW_NS) == Verdict(False, reason)


def test_a_band_can_be_an_instruments_own() -> None:
    book = RuleBook(Limits(bands={"BTC-USD": Band(1_000, 1_000_000)}))
    assert book.check(tick(price=999_999), NOW_NS).valid
    assert book.check(tick(price=999), NOW_NS).reason == "Price out of acceptable range 1000 to 1000000"
    assert book.check(tick("ETH-USD", price=999), NOW_NS).valid


class Broken:
    def check(self, tick: Tick) -> Verdict:
        raise ZeroDivisionError("by design")


class Never:
    def check(self, tick: Tick) -> Verdict:
        return invalid("never")


def test_a_rule_that_raises_is_an_objection_and_nothing_more() -> None:
    book = RuleBook(Limits(), [Broken()])
    assert book.check(tick(), NOW_NS) == Verdict(False, "Processing error: by design")
    assert book.check(tick(volume=0), NOW_NS).reason == "Volume must be above 0"


def test_rules_are_asked_in_order_until_one_objects() -> None:
    assert RuleBook(Limits(), [Never(), Broken()]).check(tick(), NOW_NS).reason == "never"


def test_the_example_rule_is_turned_on_by_its_name() -> None:
    (rule,) = load_rules(["notional-cap"])
    assert isinstance(rule, NotionalCap)
    book = RuleBook(Limits(), [rule])
    assert book.check(tick(price=10_000, volume=1_000), NOW_NS).valid
    assert book.check(tick(price=10_000, volume=1_001), NOW_NS).reason == "Notional above 10000000"


def test_a_rule_that_is_not_there_is_a_bad_setting() -> None:
    with pytest.raises(ConfigError, match="TICKPLANE_RULES: there is no rule 'typo'; there are: notional-cap"):
        load_rules(["typo"])


def test_settings_take_bands_and_rules(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TICKPLANE_PRICE_BAND", "0.5:2")
    monkeypatch.setenv("TICKPLANE_PRICE_BANDS", "BTC-USD=1000:1e6, ETH-USD=10:20")
    monkeypatch.setenv("TICKPLANE_RULES", "notional-cap, other")
    settings = ValidatorSettings.load()
    assert settings.price_band == Band(0.5, 2)
    assert settings.price_bands == {"BTC-USD": Band(1_000, 1_000_000), "ETH-USD": Band(10, 20)}
    assert settings.rules == ("notional-cap", "other")


@pytest.mark.parametrize("text", ["", "1", "2:1", "0:1", "-1:1", "1:inf", "nan:1", "a:b"])
def test_a_bad_band_names_its_variable(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("TICKPLANE_PRICE_BANDS", f"BTC-USD={text}")
    with pytest.raises(ConfigError, match="TICKPLANE_PRICE_BANDS"):
        ValidatorSettings.load()


def judge(instruments_max: int = 10) -> Judge:
    return Judge(RuleBook(Limits()), Windows(1_000, instruments_max, 0), "me")


def test_invalid_ticks_have_no_vwap_and_no_part_in_it() -> None:
    mine = judge()
    assert mine.verdict(tick(price=10, volume=1), NOW_NS) == (VALID, 10.0)
    assert mine.verdict(tick(price=20_000, volume=1), NOW_NS)[1] == 0.0
    assert mine.verdict(tick(price=20, volume=3), NOW_NS) == (VALID, 17.5)


def test_a_repeat_is_answered_and_counts_once() -> None:
    mine = judge()
    mine.verdict(tick(price=10, volume=1), NOW_NS)
    mine.verdict(tick(price=20, volume=1), NOW_NS)
    assert mine.verdict(tick(price=20, volume=1), NOW_NS, is_repeat=True) == (VALID, 15.0)


def test_one_instrument_too_many_is_told_so() -> None:
    mine = judge(instruments_max=1)
    assert mine.verdict(tick("AAA"), NOW_NS)[0].valid
    assert mine.verdict(tick("BBB"), NOW_NS)[0].reason.startswith("Too many instruments")
    assert mine.verdict(tick("AAA"), NOW_NS)[0].valid


def test_what_is_published_can_be_json() -> None:
    verdict = invalid("no")
    event = judge().event("id", tick("x" * 1_000, math.nan), verdict, 0.0, NOW_NS, "stream", 1)
    assert event.price is None
    assert event.instrument_id == "x" * INSTRUMENT_ID_PUBLISHED_MAX
    assert (event.status, event.reason, event.instance_id) == ("INVALID", "no", "me")
