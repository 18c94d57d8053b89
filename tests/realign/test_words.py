"""Numbers and names as a person reads them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realign.words import beside, interval, listed, number

finite = st.floats(allow_nan=False, allow_infinity=False, min_value=-1e12, max_value=1e12)


@pytest.mark.parametrize(("value", "shown"), [
    (0.97312, "0.9731"), (1.0696, "1.070"), (12.345678, "12.35"), (123.456, "123.5"), (1432.0, "1,432"),
    (1432, "1,432"), (0.0, "0.0000"), (-0.0413, "−0.0413"), (0.00012, "0.000120"), (3e-7, "3.0e−07"),
    (None, "–"), (float("nan"), "–"), (True, "–"), ("0.5", "–"),
])
def test_number(value, shown):
    assert number(value) == shown


def read(text):
    return float(text.replace("−", "-").replace(",", ""))


@given(finite)
def test_a_shown_number_is_near_the_true_one(value):
    assert read(number(value)) == pytest.approx(value, rel=0.06, abs=5e-9)


@given(finite, finite)
def test_a_figure_stands_on_its_side_of_the_limit(value, limit):
    limit = float(f"{limit:g}")
    if abs(value - limit) > 1e-9 * max(1.0, abs(limit)):
        assert (read(beside(value, limit)) > limit) == (value > limit)


def test_a_figure_just_over_the_limit_does_not_read_as_the_limit():
    assert number(0.100001) == "0.1000"
    assert beside(0.100001, 0.1) == "0.100001"
    assert beside(0.0912, 0.1) == "0.0912"


@pytest.mark.parametrize(("low", "high", "text"), [
    (0.12, 0.19, "0.1200 to 0.1900"), (-0.3, 1200.0, "−0.3000 to 1,200"), (3, 3, ""), (None, 0.2, ""),
    (float("nan"), 0.2, "")])
def test_an_interval_is_two_ends_or_nothing(low, high, text):
    assert interval({"value": 0.15, "low": low, "high": high}) == text


def test_without_ends_there_is_no_interval():
    assert interval({}) == ""


@pytest.mark.parametrize(("names", "text"), [([], ""), (["a"], "a"), (["a", "b"], "a and b"),
                                             (["a", "b", "c"], "a, b and c")])
def test_listed(names, text):
    assert listed(names) == text
