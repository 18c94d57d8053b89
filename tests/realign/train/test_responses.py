"""Which batches of responses share their prompts, and in which order rows then stand."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from realign.models.chat import Encoded
from realign.train import responses, sft


def row(prompt, answer):
    return Encoded([*prompt, *answer], [0] * len(prompt) + [1] * len(answer))


def test_prompts_that_come_once_do_not_pay_for_a_second_pass(tiny):
    rows = [row([i, 7, 8, 9], [2, 3]) for i in range(6)]
    batch = responses.batch_of(rows, 0, [tiny(0)])
    plain = sft.batch_of(rows, 0)
    assert set(batch) == {"tokens", "positions", "targets"}
    assert batch["tokens"].tolist() == plain["tokens"].tolist()
    assert batch["targets"].tolist() == [[2, 3] * 6]


def test_prompts_that_recur_stand_once(tiny):
    rows = [row([1] * 30, [2]), row([4] * 20 + [5], [6, 7]), row([1] * 30, [3, 9]), row([1] * 30, [8])]
    batch = responses.batch_of(rows, 0, [tiny(0)])
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
    ordered = responses.together(rows, picks)
    assert sorted(ordered) == sorted(picks)
    seen = [prompts[i] for i in ordered]
    assert list(dict.fromkeys(seen)) == list(dict.fromkeys(prompts[i] for i in picks))
    assert len(list(dict.fromkeys(seen))) == 1 + sum(a != b for a, b in zip(seen, seen[1:], strict=False))
    for p in set(seen):  # and keep their own order
        assert [i for i in ordered if prompts[i] == p] == [i for i in picks if prompts[i] == p]
