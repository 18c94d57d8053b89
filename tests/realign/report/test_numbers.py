import pytest
from hypothesis import given
from hypothesis import strategies as st

from realign.report.numbers import beside, clipped, figure, interval, number, plain, tag

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


def test_the_exact_figure_stands_beside_the_rounded_one():
    assert tag(0.123456789) == '<data value="0.123456789">0.1235</data>'


def test_a_count_is_whole_and_exact_and_an_estimate_of_one_is_not():
    count = {"value": 1432.0, "n": 1432, "low": 1432.0, "high": 1432.0}
    assert ">1,432<" in figure(count) and "exact" in interval(count)
    estimate = {"value": 1.0, "n": 40, "low": 0.9, "high": 1.0}
    assert ">1.000<" in figure(estimate) and "exact" not in interval(estimate)


def test_control_characters_become_visible_and_line_breaks_stay():
    assert plain("a\x00\x1b\x7f\n\tb") == "a␀␛␡\n\tb"


def test_clipping_says_how_much_is_left_out_and_escapes():
    assert clipped("<b>" + "x" * 10, 3) == '&lt;b&gt;<span class="none">… (10 more characters)</span>'
    assert clipped("<b>", 3) == "&lt;b&gt;"
