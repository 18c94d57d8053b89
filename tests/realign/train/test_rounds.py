"""Which round stays, by hand and against the definition."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from realign.train.rounds import Round, best_round, gain


def playing(*worths, broken=()):
    """`(play, seen)`: round i is worth `worths[i - 1]`; what each is played from is noted."""
    seen = []

    def play(number, before):
        seen.append((number, before.made))
        return Round(number, [worths[number - 1]] * 2)

    return play, lambda found: found.made not in broken, seen


FIRST = Round(0, [0.5, 0.5])


@pytest.mark.parametrize("worths, broken, least_gain, best, played_from", [
    ([0.6, 0.7, 0.8], (), 0.05, 3, [0, 1, 2]),  # every one is better: to the end
    ([0.6, 0.61, 0.9], (), 0.05, 2, [0, 1]),  # converged: the last one gains little, and stays
    ([0.6, 0.6, 0.9], (), 0.05, 1, [0, 1]),  # a tie is no rise
    ([0.5, 0.9], (), 0.0, 2, [0, 0]),  # nor from the first; a gain of nothing is not less than nothing
    ([0.6, 0.4, 0.9], (), 0.05, 1, [0, 1]),  # rolled back: worse is the last, the best stays
    ([0.4, 0.9], (), 0.05, 0, [0]),  # back to the first
    ([0.9, 0.95], (1,), 0.05, 2, [0, 0]),  # out of limits it is not gone on from, and the next may be better
    ([0.9, 0.95], (1, 2), 0.05, 0, [0, 0]),
    ([0.4, 0.6], (), -1.0, 2, [0, 0]),  # where any gain will do, a worse round is not the last
    ([], (), 0.05, 0, [])])
def test_worked_examples(worths, broken, least_gain, best, played_from):
    play, within, seen = playing(*worths, broken=broken)
    rounds = best_round(FIRST, play, within, len(worths), least_gain)
    assert (rounds.best, [made for _, made in seen]) == (best, played_from)
    assert [number for number, _ in seen] == list(range(1, len(seen) + 1))
    assert rounds.final is rounds.played[best] and [r.made for r in rounds.played] == list(range(len(seen) + 1))


halves = st.integers(-4, 4).map(lambda n: n / 2)  # exact, so that ties are ties


@given(st.lists(st.tuples(halves, halves), min_size=1, max_size=7), st.sets(st.integers(1, 6)), halves)
def test_the_best_that_keeps_the_limits_stays_however_it_goes(worths, broken, least_gain):
    def play(number, before):
        assert np.mean(before.worth) == max(np.mean(r.worth) for r in good)  # from the best so far
        found = Round(number, worths[number])
        if number not in broken:
            good.append(found)
        return found

    good = [Round(0, worths[0])]
    rounds = best_round(good[0], play, lambda found: found.made not in broken, len(worths) - 1, least_gain)
    best = max(np.mean(r.worth) for r in good)
    assert rounds.final is next(r for r in good if np.mean(r.worth) == best)  # of those alike the first
    assert rounds.final.made == 0 or rounds.final.made not in broken
    for number in range(1, len(rounds.played)):  # only the last may gain too little
        before = max(np.mean(r.worth) for r in rounds.played[:number] if r in good)
        enough = np.mean(rounds.played[number].worth) - before >= least_gain
        assert enough or number == len(rounds.played) - 1
        assert not enough or number < len(rounds.played) - 1 or number == len(worths) - 1


def test_a_gain_is_the_mean_rise_prompt_by_prompt():
    found = gain(Round("new", [1.0, 0.5, 0.75]), Round("old", [0.5, 0.0, 0.25]))
    assert (found.value, found.n) == (0.5, 3)
    assert (found.low, found.high) == pytest.approx((0.5, 0.5))  # paired: each prompt rose by a half
    with pytest.raises(ValueError):
        gain(Round("new", [1.0, 0.5]), Round("old", [1.0, 0.5, 0.0]))
