"""Rows as padded matrices with their targets; which batches of responses share prompts, and the order of their rows."""

from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from realign.models.batches import PAD, PAD_TO, batch_of, by_prompt, pad, prompt_of, response_batch, targets
from realign.models.chat import Encoded


@given(st.lists(st.lists(st.integers(1, 99), min_size=1, max_size=20), min_size=1, max_size=6), st.booleans(),
       st.integers(0, 1))
def test_padding(rows, left, over):
    padded = pad(rows, left, over)
    assert padded.dtype == np.int32 and padded.shape[1] % PAD_TO == over
    assert padded.shape[1] - max(map(len, rows)) < PAD_TO + (max(map(len, rows)) <= over)
    for row, line in zip(rows, padded.tolist(), strict=True):
        empty = [PAD] * (len(line) - len(row))
        assert line == (empty + row if left else row + empty)


encoded = st.lists(st.tuples(st.integers(1, 99), st.integers(0, 1)), min_size=1, max_size=20).map(
    lambda pairs: Encoded([t for t, _ in pairs], [m for _, m in pairs]))


@given(st.lists(encoded, min_size=1, max_size=6))
@settings(max_examples=50)
def test_the_targets_of_a_batch_are_the_masked_tokens_in_order(rows):
    batch = batch_of(rows)
    assert targets(batch).tolist() == [t for r in rows for t, m in zip(r.tokens[1:], r.mask[1:], strict=True) if m]


def row(prompt, answer):
    return Encoded([*prompt, *answer], [0] * len(prompt) + [1] * len(answer))


def test_the_prompt_is_what_was_not_sampled():
    assert prompt_of(row([4, 5], [6])) == (4, 5)
    assert prompt_of(row([4, 5], [])) == (4, 5)


def test_prompts_that_come_once_do_not_pay_for_a_second_pass(tiny):
    rows = [row([i, 7, 8, 9], [2, 3]) for i in range(6)]
    batch = response_batch(rows, [tiny(0)])
    plain = batch_of(rows)
    assert set(batch) == {"tokens", "positions", "targets"}
    assert batch["tokens"].tolist() == plain["tokens"].tolist()
    assert batch["targets"].tolist() == [[2, 3] * 6]


def test_prompts_that_recur_stand_once(tiny):
    rows = [row([1] * 30, [2]), row([4] * 20 + [5], [6, 7]), row([1] * 30, [3, 9]), row([1] * 30, [8])]
    batch = response_batch(rows, [tiny(0)])
    assert batch["prompts"].shape == (2, 32) and batch["padding"].tolist() == [3, 12]
    assert batch["prompts"].tolist()[1] == [0] * 12 + [4] * 20
    assert batch["owner"].tolist() == [[1, 0], [0, 1], [1, 0], [1, 0]]
    assert batch["tokens"].tolist() == [[1, 2] + [0] * 7, [5, 6, 7] + [0] * 6, [1, 3, 9] + [0] * 6,
                                        [1, 8] + [0] * 7]  # models read all but the last, 8
    assert batch["targets"].tolist() == [[2, 6, 7, 3, 9, 8]]


@given(st.lists(st.integers(0, 3), min_size=1, max_size=12), st.randoms())
def test_rows_of_a_prompt_come_together_and_none_is_lost(prompts, random):
    rows = [row([p, 9], [p]) for p in prompts]
    picks = np.array(random.sample(range(len(rows)), len(rows)))
    ordered = by_prompt(rows, picks)
    assert sorted(ordered) == sorted(picks)
    seen = [prompts[i] for i in ordered]
    assert list(dict.fromkeys(seen)) == list(dict.fromkeys(prompts[i] for i in picks))
    assert len(list(dict.fromkeys(seen))) == 1 + sum(a != b for a, b in pairwise(seen))
    for p in set(seen):  # and keep their own order
        assert [i for i in ordered if prompts[i] == p] == [i for i in picks if prompts[i] == p]
