import itertools
import math
import re

from hypothesis import given
from hypothesis import strategies as st

from realign.report.curves import charts
from realign.report.figures import POINTS, Series, dumbbell, line_chart, strip, thinned, ticks
from realign.report.sources import Stage
from realign.report.verdicts import Limit


@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e6))
def test_ticks_are_even_round_and_within(low, width):
    found = ticks(low, low + width)
    assert 2 <= len(found) <= 7
    assert all(low - width * 1e-6 <= t <= low + width * (1 + 1e-6) for t in found)
    step = found[1] - found[0]
    assert all(math.isclose(b - a, step, rel_tol=1e-5) for a, b in itertools.pairwise(found))


def test_ticks_over_rounds_are_whole():
    assert ticks(1, 3, about=4, whole=True) == [1, 2, 3]


def test_thinning_keeps_few_points_and_the_one_spike():
    points = [(i, 100.0 if i == 7123 else 1.0) for i in range(20_000)]
    kept = thinned(points)
    assert len(kept) <= POINTS + 2
    assert (7123, 100.0) in kept and kept[-1] == points[-1]
    assert [x for x, _ in kept] == sorted(x for x, _ in kept)


def places(svg, pattern):
    return [float(x) for x in re.findall(pattern, svg)]


def test_strip_sets_the_dot_on_the_right_side_of_the_limit():
    for value, fine in ((0.0912, True), (0.1312, False)):
        svg = strip("a", "KL", (value, value - 0.02, value + 0.02), Limit(ceiling=0.1), Limit())
        dot, = places(svg, r'class="dot" cx="([\d.]+)%')
        edge, = places(svg, r'class="limit" x1="([\d.]+)%')
        assert (dot < edge) is fine
        assert f"{value:.4f}" in svg


def test_strip_of_a_missing_figure_is_no_picture():
    assert strip("a", "KL", (None, None, None), Limit(ceiling=0.1), Limit()) == ""


def test_dumbbell_places_scores_in_proportion():
    svg = dumbbell("a", "facts", {"value": 0.5, "low": 0.4, "high": 0.6},
                   {"value": 1.0, "low": 0.9, "high": 1.0})
    assert places(svg, r'circle class="\w+" cx="([\d.]+)%') == [50.0, 98.0]
    assert "before 0.5000 (0.4000 to 0.6000); after 1.000 (0.9000 to 1.000)" in svg


def test_dumbbell_without_an_after_shows_the_before_alone():
    svg = dumbbell("a", "facts", {"value": 0.5, "low": 0.4, "high": 0.6}, {})
    assert svg.count("<circle") == 1 and "move" not in svg


def test_line_falls_where_the_figure_rises_and_breaks_at_a_gap():
    points = ((0, 1.0), (1, 2.0), (2, None), (3, 4.0), (4, 3.0))
    svg = line_chart("a", "Loss", "step", [Series("Loss", points)], Limit())
    path = re.search(r' d="([^"]+)"', svg)[1]
    assert path.count("M") == 2
    pairs = re.findall(r"[\d.]+ [\d.]+", path)
    (x0, y0), (x1, y1), (x3, y3), (_, y4) = (map(float, pair.split()) for pair in pairs)
    assert x0 < x1 < x3 and y0 > y1 > y4 > y3
    assert math.isclose((y0 - y1) * 3, y0 - y3, abs_tol=0.4)
    assert "from 1.000 at step 0 to 3.000 at step 4, lowest 1.000, highest 4.000, 4 points" in svg


def test_a_constant_curve_and_a_single_point_can_be_drawn():
    for points in (((0, 2.0), (5, 2.0)), ((3, 0.0),)):
        assert "nan" not in line_chart("a", "Loss", "step", [Series("Loss", points)], Limit())


def stage(records, checks=()):
    return Stage("rl", {}, {}, records, {"tier": "HIGH", "checks": list(checks)}, True, False)


def test_figures_of_one_kind_share_a_chart_and_a_schedule_has_its_own():
    one = {"loss": 1.0, "validation_loss": 2.0, "kl": 0.1, "kl_penalty": 0.2}
    records = [one | {"step": i} for i in range(3)]
    assert [(c.title, c.names) for c in charts(stage(records))] == [
        ("Loss", ("Loss", "Validation loss")), ("KL divergence", ("KL divergence",)),
        ("Kl penalty", ("Kl penalty",))]


def test_steps_that_start_anew_are_one_curve_a_round():
    records = [{"round": r, "step": s, "reward": r + s} for r in (1, 2) for s in (0, 1)]
    assert [c.names for c in charts(stage(records))] == [("Reward, round 1", "Reward, round 2")]


def test_rounds_alone_are_the_axis():
    chart, = charts(stage([{"round": r, "score": r / 10} for r in (1, 2, 3)]))
    assert chart.names == ("Score",) and "at round 1" in chart.svg


def test_the_gate_s_limit_is_drawn():
    limit = {"metric": "kl", "observed": 0.05, "low": 0.04, "high": 0.06, "n": 9, "threshold": "≤ 0.1",
             "min": None, "max": 0.1, "expectation": "", "severity": "critical", "passed": True}
    records = [{"step": i, "kl": 0.01 * i} for i in range(5)]
    assert "limit 0.1" in charts(stage(records, [limit]))[0].svg
    assert "limit 0.1" not in charts(stage(records))[0].svg


def test_no_curve_without_steps():
    assert charts(stage([{"loss": 1.0}, {"loss": 0.5}])) == []


def test_what_is_measured_now_and_then_is_one_line_and_the_optimiser_stands_aside():
    """Every record holds every field, null where it was not measured."""
    records = [{"step": s, "loss": 1.0 - s / 10, "verifier": s / 10 if s % 2 == 0 else None, "grad_norm": 1.0,
                "approx_kl": 0.1, "kl": 0.2, "value_clip_fraction": 0.0} for s in range(7)]
    drawn = charts(stage(records))
    assert [(c.title, c.aside) for c in drawn] == [
        ("Loss", False), ("KL divergence", False), ("Approx kl", True), ("Grad norm", True),
        ("Value clip fraction", True), ("Verifier", False)]
    verifier = next(c for c in drawn if c.title == "Verifier").svg
    path = verifier[verifier.index(' d="') + 4:].split('"')[0]
    assert path.count("M") == 1 and path.count("L") == 3
    flat = next(c for c in drawn if c.title == "Value clip fraction").svg
    assert ">−" not in flat  # a share that stays 0 has no axis below it
