"""Rows of tokens as padded matrices, and work over them part by part.

Where sampled responses share prompts, what the rows share stands in a batch once.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import numpy as np

from realign.models import prefix, threads
from realign.models.chat import Encoded

Batch = dict[str, mx.array]

PAD = 0  # the id that fills short rows: never attended to, never learned, so any will do
PAD_TO = 8  # batches are padded to a multiple of this many tokens
WORTH = 0.8  # of the padded tokens of whole rows: with more than that, sharing does not pay for its second pass


def pad(rows: Sequence[Sequence[int]], left: bool = False, over: int = 0, value: int = PAD) -> np.ndarray:
    """Rows (lists of token ids) as one int32 matrix (rows × width), filled up with `value` on the right (or `left`).

    The width is the longest row's, rounded up so that `over` tokens less are a multiple of PAD_TO.
    """
    width = -(-max(max(map(len, rows)) - over, 1) // PAD_TO) * PAD_TO + over
    padded = np.full((len(rows), width), value, np.int32)
    for i, row in enumerate(rows):
        if left:
            padded[i, width - len(row):] = row
        else:
            padded[i, :len(row)] = row
    return padded


def cut(rows: np.ndarray, micro: int) -> list[np.ndarray]:
    """The rows of a step, in their order, as micro-batches of at most `micro`: one for every thread, or more."""
    size = max(min(micro, threads.share(len(rows))), 1)
    return [rows[k:k + size] for k in range(0, len(rows), size)]


def by_part(work: Callable[[np.ndarray], Any], rows: np.ndarray, size: int, *shared: Any
            ) -> Iterator[tuple[np.ndarray, Any]]:
    """The rows in parts of at most `size`, each with `work` of it, evaluated, as many at once as there are threads;
    `shared` as in `threads.each`."""
    parts = cut(rows, size)
    return zip(parts, threads.each(work, parts, *shared), strict=True)


def batch_of(rows: Sequence[Encoded], over: int = 0) -> Batch:
    """`tokens` (B, T) and `positions` (N,), the flat places in (B, T-1) whose next token is a target. Padded as `pad`
    does; 1 `over` is least where all rows have one token more than a multiple, since models read all but the last."""
    tokens = pad([r.tokens for r in rows], over=over)
    mask = pad([r.mask for r in rows], over=over, value=0)
    return {"tokens": mx.array(tokens), "positions": mx.array(np.flatnonzero(mask[:, 1:]).astype(np.uint32))}


def targets(batch: Batch) -> mx.array:
    """The tokens (N,) that are predicted at the batch's `positions`."""
    return batch["tokens"][:, 1:].reshape(-1)[batch["positions"]]


def response_batch(rows: Sequence[Encoded], models: Sequence[nn.Module]) -> Batch:
    """A batch of sampled responses with its `targets` (1, N), for all of `models`; where that saves enough, one whose
    rows are responses alone and whose prompts are what `prefix.hidden` reads."""
    shared = _shared(rows) if all(map(prefix.can_share, models)) else None
    batch = shared or batch_of(rows)
    return batch | {"targets": targets(batch)[None]}


def prompt_of(row: Encoded) -> tuple[int, ...]:
    """The tokens before what was sampled."""
    return tuple(row.tokens[:len(row.tokens) - sum(row.mask)])


def by_prompt(rows: Sequence[Encoded], picks: np.ndarray) -> np.ndarray:
    """The picks in their order, but those of a prompt all where the first of them stands."""
    first: dict[tuple[int, ...], int] = {}
    for place, pick in enumerate(picks):
        first.setdefault(prompt_of(rows[pick]), place)
    return picks[np.argsort([first[prompt_of(rows[pick])] for pick in picks], kind="stable")]


def _shared(rows: Sequence[Encoded]) -> Batch | None:
    """The batch whose prompts stand once; None where it is hardly smaller. A row begins with the last token of its
    prompt, which predicts the first that was sampled."""
    prompts = [prompt_of(row) for row in rows]
    places = {prompt: place for place, prompt in enumerate(dict.fromkeys(prompts))}
    beginnings = pad([prompt[:-1] for prompt in places], left=True)
    answers = [Encoded(row.tokens[len(prompt) - 1:], row.mask[len(prompt) - 1:])
               for row, prompt in zip(rows, prompts, strict=True)]
    batch = batch_of(answers, over=1)
    if beginnings.size + batch["tokens"].size > WORTH * pad([row.tokens for row in rows]).size:
        return None
    owner = np.eye(len(places), dtype=np.float32)[[places[prompt] for prompt in prompts]]
    padding = [beginnings.shape[1] - len(prompt) + 1 for prompt in places]
    return batch | {"prompts": mx.array(beginnings), "padding": mx.array(padding), "owner": mx.array(owner)}
