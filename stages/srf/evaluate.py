"""Stage 7: the final policy against the baseline, capability by capability and prompt by prompt."""

from collections.abc import Sequence

import numpy as np

from realign.evaluate import scorers
from realign.lake.schemas import PAIRS
from realign.lake.table import small_rows
from realign.metrics import mean
from realign.models import chat, heads
from realign.objectives import reward
from realign.stage import Stage
from stages.common import data
from stages.common.evaluate import Evaluate, Judge, Judges, figures, summary

__all__ = ["Evaluate", "run"]


def run(here: Stage) -> str:
    metrics = figures(here, here.of("sft"), here.of("iterate"), _judges(here))
    here.report({**metrics, **_reward_accuracy(here)})
    return summary(metrics)


def _judges(here: Stage) -> Judges:
    """Labelled pairs have no reference answers, so nothing verifies; without a scorer of their own nothing scores: the
    reward model that was trained on would be judge in its own cause."""
    verifier = scorers.by_reference if data.settings(here).demo else None
    return Judges(verifier, data.independent_scorer(here), _paid_by(here.of("iterate_reward_model")))


def _paid_by(trained: Stage) -> Judge:
    """The rewards of the reward model of a stage."""
    model, tokenizer = heads.load_scalar(trained.checkpoint)

    def rewards(chats: Sequence[dict], texts: Sequence[str]) -> np.ndarray:
        answered = [chat.with_answer(c, text) for c, text in zip(chats, texts, strict=True)]
        return heads.score(model, chat.encode(tokenizer, answered))

    return rewards


def _reward_accuracy(here: Stage) -> dict:
    """The final reward model on the first one's held-out pairs, and how much it lost there."""
    rows = small_rows(here.of("preference_data").dataset("pairs"), PAIRS)
    right, final = [], None
    for name in ("reward_model", "iterate_reward_model"):
        model, tokenizer = heads.load_scalar(here.of(name).checkpoint)
        pairs = reward.encode_pairs(tokenizer, rows)["validation"]
        chosen, rejected = reward.values(model, pairs)
        right.append((chosen > rejected).astype(float))
        final = reward.accuracy(model, pairs)
    return {"reward_accuracy": final, "reward_accuracy_drop": mean(right[0] - right[1])}
