import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realign.interval import ALPHA
from realign.versions.looks import MOST, Plan


@pytest.mark.parametrize(("first", "reserve", "looks"), [
    (600, 1800, (600, 1200, 2400)), (600, 0, (600,)), (600, 300, (600, 900)), (300, 5000, (300, 600, 1200, 2400)),
    (3000, 500, (3000,)), (150, 10, (150, 160))])
def test_examples_are_doubled_until_the_rows_or_the_limit_end(first, reserve, looks):
    assert Plan(first, reserve).looks == looks


def test_one_look_may_err_like_any_single_test():
    assert Plan(600, 0).alpha(600) == pytest.approx(ALPHA)


def test_pocock_spending_by_hand():
    plan = Plan(600, 1800)
    spent = [ALPHA * math.log(1 + (math.e - 1) * t) for t in (0.25, 0.5, 1)]
    assert [plan.alpha(n) for n in plan.looks] == pytest.approx([spent[0], spent[1] - spent[0], spent[2] - spent[1]])


@given(st.integers(1, 4000), st.integers(0, 6000))
def test_all_looks_together_err_as_often_as_one(first, reserve):
    plan = Plan(first, reserve)
    assert sum(plan.alpha(n) for n in plan.looks) == pytest.approx(ALPHA)
    assert plan.looks[-1] <= max(first, min(MOST, first + reserve))


@given(st.integers(1, 4000), st.integers(0, 6000))
def test_what_is_drawn_leads_from_look_to_look(first, reserve):
    plan, asked, seen = Plan(first, reserve), first, [first]
    while more := plan.more(asked):
        asked += more
        seen.append(asked)
    assert tuple(seen) == plan.looks
