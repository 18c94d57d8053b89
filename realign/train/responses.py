"""Batches of sampled responses. Where prompts recur, what the rows share stands in a batch once."""

from collections.abc import Sequence

import mlx.core as mx
import mlx.nn as nn
import numpy as np

from realign.models import prefix
from realign.models.chat import Encoded
from realign.train import sft
from realign.train.batches import pad
from realign.train.loop import Batch

WORTH = 0.8  # of the padded tokens of whole rows: with more than that, sharing does not pay for its second pass


def batch_of(rows: Sequence[Encoded], pad_token: int, models: Sequence[nn.Module]) -> Batch:
    """An SFT batch with its `targets` (1, N), for all of `models`; or, where that saves enough, one whose rows are
    responses alone and whose prompts are what `prefix.hidden` reads."""
    shared = _shared(rows, pad_token) if all(map(prefix.can_share, models)) else None
    batch = shared or sft.batch_of(rows, pad_token)
    return batch | {"targets": sft.targets(batch)[None]}


def prompt_of(row: Encoded) -> tuple[int, ...]:
    """The tokens before what was sampled."""
    return tuple(row.tokens[:len(row.tokens) - sum(row.mask)])


def together(rows: Sequence[Encoded], picks: np.ndarray) -> np.ndarray:
    """The picks in their order, but those of a prompt all where the first of them stands."""
    first: dict[tuple[int, ...], int] = {}
    for place, pick in enumerate(picks):
        first.setdefault(prompt_of(rows[pick]), place)
    return picks[np.argsort([first[prompt_of(rows[pick])] for pick in picks], kind="stable")]


def _shared(rows: Sequence[Encoded], pad_token: int) -> Batch | None:
    """The batch whose prompts stand once; None where it is hardly smaller. A row begins with the last token of its
    prompt, which predicts the first that was sampled."""
    prompts = [prompt_of(row) for row in rows]
    places = {prompt: place for place, prompt in enumerate(dict.fromkeys(prompts))}
    beginnings = pad([prompt[:-1] for prompt in places], pad_token, left=True)
    answers = [Encoded(row.tokens[len(prompt) - 1:], row.mask[len(prompt) - 1:])
               for row, prompt in zip(rows, prompts, strict=True)]
    batch = sft.batch_of(answers, pad_token, over=1)
    if beginnings.size + batch["tokens"].size > WORTH * pad([row.tokens for row in rows], pad_token).size:
        return None
    owner = np.eye(len(places), dtype=np.float32)[[places[prompt] for prompt in prompts]]
    padding = [beginnings.shape[1] - len(prompt) + 1 for prompt in places]
    return batch | {"prompts": mx.array(beginnings), "padding": mx.array(padding), "owner": mx.array(owner)}
