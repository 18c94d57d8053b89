"""What kind of number every metric is: its unit, and the range outside which no such number can lie.

A gate rejects a metric outside its kind's range: a win rate of 1.7 was not measured, whatever bound it meets.
A metric that a gate judges stands in FAMILIES, under its own name or under that of its group: `retention` speaks
for `retention.facts` and for every slice below it.
"""

from dataclasses import dataclass
from difflib import get_close_matches

from realign.errors import UserError


@dataclass(frozen=True)
class Kind:
    """A kind of number: its unit, and the lowest and highest that it can be (None is open)."""

    unit: str
    low: float | None = None
    high: float | None = None


SHARE = Kind("share", 0, 1)
COUNT = Kind("count", 0)
CORRELATION = Kind("correlation", -1, 1)
NATS = Kind("nats", 0)
RATIO = Kind("ratio", 0)
POSITIVE = Kind("number", 0)
NUMBER = Kind("number")
# What a metric gained or lost is not bounded by the metric's own range.
SHARE_DIFFERENCE = Kind("difference of shares", -1, 1)
NATS_DIFFERENCE = Kind("difference of nats")
COUNT_DIFFERENCE = Kind("difference of counts")

FAMILIES = {
    # data
    "rows": COUNT, "rows.unaccounted": COUNT_DIFFERENCE, "rows.kept_share": SHARE, "ledger": COUNT, "pairs": COUNT,
    "pairs_by_type": COUNT, "preference_gap": SHARE_DIFFERENCE, "decontamination": SHARE, "data_quality": SHARE,
    "agreement_rate": SHARE, "kappa": CORRELATION,
    # supervised training
    "heldout_loss": NATS, "base_heldout_loss": NATS, "heldout_loss_drop": NATS_DIFFERENCE, "validation_loss": NATS,
    "best_step": COUNT,
    # reward models
    "train_accuracy": SHARE, "validation_accuracy": SHARE, "train_validation_gap": SHARE_DIFFERENCE,
    "ood_accuracy": SHARE, "adversarial_accuracy": SHARE, "accuracy_by_type": SHARE, "reward_accuracy": SHARE,
    "reward_accuracy_drop": SHARE_DIFFERENCE, "consistency": SHARE, "margin_gap_correlation": CORRELATION,
    "length_bias": CORRELATION,
    # policies
    "kl": NATS, "entropy": NATS, "entropy_before": NATS, "reward_before": NUMBER, "reward_after": NUMBER,
    "reward_gain": NUMBER, "score": SHARE, "score_before": SHARE, "score_after": SHARE,
    "score_gain": SHARE_DIFFERENCE, "attempts": COUNT, "remedied": COUNT, "learning_rate": POSITIVE,
    "kl_penalty": POSITIVE, "entropy_bonus": POSITIVE, "improbable_penalty": POSITIVE, "reward_scale": POSITIVE,
    "rounds": COUNT, "best_round": COUNT, "rolled_back": COUNT,
    # the whole model
    "capability": SHARE, "slice": SHARE, "retention": RATIO, "slice_retention": RATIO, "retention_worst": RATIO,
    "retention_mean": RATIO, "regressions": COUNT, "gaps": SHARE, "task_accuracy": SHARE, "coverage": SHARE,
    "undecided": SHARE, "undecided_sampled": SHARE,
    # gains over the base model
    "win_rate": SHARE, "win_rate_correctness": SHARE, "base_correctness": SHARE, "distinct_share": SHARE,
    "distinct_ratio": RATIO, "ending_share": SHARE, "ending_excess": SHARE_DIFFERENCE, "phrase_share": SHARE,
    "phrase_excess": SHARE_DIFFERENCE, "mean_words": POSITIVE, "length_ratio": RATIO, "paid": NUMBER,
    "behaviour_gain": SHARE_DIFFERENCE,
}


def declared(metric: str) -> Kind | None:
    """The kind of a metric, by its own name or by the nearest group above it; None where none is declared."""
    while metric not in FAMILIES and "." in metric:
        metric = metric.rpartition(".")[0]
    return FAMILIES.get(metric)


def kind_of(metric: str, where: str) -> Kind:
    """The kind of a metric that `where` judges; UserError where none is declared."""
    kind = declared(metric)
    if kind is None:
        close = get_close_matches(metric, FAMILIES, n=1)
        raise UserError(f"{metric!r} is judged, but nothing says what kind of number it is", where=where,
                        expected="a kind (share, count, nats …), so that impossible values are rejected",
                        fix=(f"did you mean {close[0]!r}? If not, " if close else "") +
                            "declare it or its group in FAMILIES of realign/kinds.py")
    return kind
