from realign.report.numbers import clipped, coded, figure, interval, plain, tag


def test_the_exact_figure_stands_beside_the_rounded_one():
    assert tag(0.123456789) == '<data value="0.123456789">0.1235</data>'


def test_a_count_is_whole_and_exact_and_an_estimate_of_one_is_not():
    count = {"value": 1432.0, "n": 1432, "low": 1432.0, "high": 1432.0}
    assert ">1,432<" in figure(count) and "exact" in interval(count)
    estimate = {"value": 1.0, "n": 40, "low": 0.9, "high": 1.0}
    assert ">1.000<" in figure(estimate) and "exact" not in interval(estimate)


def test_a_sampled_figure_that_came_out_whole_is_no_count():
    gain = {"value": 0.0, "n": 200, "low": 0.0, "high": 0.0}
    assert ">0.0000<" in figure(gain) and "exact" not in interval(gain)
    rounds = {"value": 0, "n": 3, "low": 0, "high": 0}
    assert ">0<" in figure(rounds) and "exact" in interval(rounds)


def test_what_stands_between_backticks_is_code_and_all_else_text():
    assert coded("`dvc repro` <b> `x<`") == "<code>dvc repro</code> &lt;b&gt; <code>x&lt;</code>"
    assert coded("a ` b") == "a ` b" and coded("plain") == "plain"


def test_control_characters_become_visible_and_line_breaks_stay():
    assert plain("a\x00\x1b\x7f\n\tb") == "a␀␛␡\n\tb"


def test_clipping_says_how_much_is_left_out_and_escapes():
    assert clipped("<b>" + "x" * 10, 3) == '&lt;b&gt;<span class="none">… (10 more characters)</span>'
    assert clipped("<b>", 3) == "&lt;b&gt;"
