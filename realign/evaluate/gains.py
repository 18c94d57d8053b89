"""What a model gained over its base on held-out prompts, computed from the records of the answers sampled and from
nothing else."""

from collections.abc import Sequence

import numpy as np

from realign.evaluate import behaviours
from realign.evaluate.capabilities import unjudged_by
from realign.evaluate.degeneration import against, shares
from realign.evaluate.losses import per_token
from realign.evaluate.preferences import win_rate
from realign.metrics import Metric, mean


def figures(rows: Sequence[dict]) -> dict:
    """The figures of records under SAMPLES, the samples of a prompt one after the other, as many of each: win rates and
    scores against the base, drift from the start, degeneration, and what the reward pays for.

    What nobody judged stands as NaN in the records; its figures are left out.
    """
    samples = 1 + max(row["sample"] for row in rows)

    def by_prompt(column: str) -> np.ndarray:
        return np.array([row[column] for row in rows], np.float64).reshape(-1, samples)

    tokens = by_prompt("tokens").sum(axis=1)
    texts = [[row[column] for row in rows] for column in ("base_output", "output")]
    alike = shares(texts[1], samples) | against(*texts, samples)
    return {
        **_correctness(by_prompt("right"), by_prompt("base_right"), rows),
        **_preference(by_prompt("score"), by_prompt("base_score")),
        "kl": per_token(by_prompt("kl").sum(axis=1), tokens),
        "entropy": per_token(by_prompt("entropy").sum(axis=1), tokens),
        **{name: {"sampled": metric} for name, metric in alike.items()},
        **_paid(rows, samples),
    }


def _correctness(right: np.ndarray, base_right: np.ndarray, rows: Sequence[dict]) -> dict[str, Metric]:
    """Win rate as the verifier sees it; how often the base is right, as prompts that it always answers show no gain;
    and the share of answers, of either model, that are neither right nor wrong to the verifier and count as wrong."""
    if np.isnan(right).any():
        return {}
    unjudged = [[row[f"{side}right"] == 0 and unjudged_by(row["reference"], row[f"{side}output"])
                 for side in ("base_", "")] for row in rows]
    return {"win_rate_correctness": win_rate(right, base_right), "base_correctness": mean(base_right.mean(axis=1)),
            "undecided_sampled": mean(np.mean(np.reshape(unjudged, (len(right), -1)), axis=1))}


def _preference(new: np.ndarray, old: np.ndarray) -> dict[str, Metric]:
    """Win rate as the scorer sees it, and its mean scores."""
    if np.isnan(new).any():
        return {}
    before, after = old.mean(axis=1), new.mean(axis=1)
    return {"win_rate": win_rate(new, old), "score_before": mean(before), "score_after": mean(after),
            "score_gain": mean(after - before)}


def _paid(rows: Sequence[dict], samples: int) -> dict[str, dict[str, Metric]]:
    """`paid`: by behaviour its effect on the reward among answers of one model to prompts of one capability, being
    right beside it for comparison. `behaviour_gain`: how much more often than the base the model shows it."""
    def both(old: Sequence, new: Sequence) -> np.ndarray:
        """Prompts × answers, the base's first."""
        return np.hstack([np.array(side).reshape(-1, samples) for side in (old, new)])

    def column(name: str) -> list:
        return [row[name] for row in rows]

    capability = column("capability")
    flags = behaviours.shown(column("base_output") + column("output"), capability * 2)
    present = {name: both(*np.split(values, 2)) for name, values in flags.items()}
    gain = {name: mean(values[:, samples:].mean(axis=1) - values[:, :samples].mean(axis=1))
            for name, values in present.items()}
    rewards, right = (both(column(f"base_{name}"), column(name)) for name in ("reward", "right"))
    if np.isnan(rewards).any():
        return {"behaviour_gain": gain}
    groups = both([f"{name}, base" for name in capability], capability)
    compared = present if np.isnan(right).any() else present | {"right": right}
    return {"behaviour_gain": gain, "paid": behaviours.effects(rewards, compared, groups)}
