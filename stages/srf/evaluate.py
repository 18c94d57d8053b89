"""Stage 7: the final policy against the baseline, capability by capability and prompt by prompt."""

from realign.lake.schemas import PAIRS
from realign.lake.table import small_rows
from realign.metrics import mean
from realign.models import heads
from realign.objectives import reward
from realign.stage import Stage
from stages.common import data
from stages.common.evaluate import Evaluate, figures, summary

__all__ = ["Evaluate", "run"]


def run(here: Stage) -> str:
    metrics = figures(here, here.of("sft"), here.of("iterate"), data.independent_scorer(here))
    here.report({**metrics, **_reward_accuracy(here)})
    return summary(metrics)


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
