"""Stage 4 of SRF: is the reward model right beyond its training pairs, and right for the right reasons?"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from random import Random

import numpy as np

from realign import params, paths, stage
from stages.srf import source


@dataclass(frozen=True)
class RewardValidation:
    """`srf.reward_validation` in params.yaml."""

    seed: int
    prompts: int
    temperatures: tuple[float, ...]
    max_tokens: int


@dataclass(frozen=True)
class Answered:
    """Responses to one prompt with scores and rewards, in one order."""

    chat: dict
    texts: list[str]
    scores: list  # of realign.verify.reference.Score
    rewards: np.ndarray


def run() -> str:
    from realign.evaluate import preferences
    from realign.lake.schemas import PAIRS
    from realign.lake.table import read_rows
    from realign.models import build, heads
    from stages.srf import rewards

    p, data = params.load("srf.reward_validation", RewardValidation), source.settings()
    model, tokenizer = heads.load_scalar(paths.checkpoint("srf", "reward_model"))
    pad = build.pad_token(tokenizer)
    rows = read_rows(paths.dataset("srf", "preference_data", "pairs"), PAIRS)
    values = {s: rewards.values(model, pairs, pad) for s, pairs in rewards.encode(tokenizer, rows).items()}
    right = {s: (chosen > rejected).astype(float) for s, (chosen, rejected) in values.items()}
    held_out = [row for row in rows if row["split"] == "validation"]
    gaps = [row["chosen_score"] - row["rejected_score"] for row in held_out]
    margins = values["validation"][0] - values["validation"][1]
    metrics = {
        "train_accuracy": preferences.ranking_accuracy(*values["train"]),
        "validation_accuracy": preferences.ranking_accuracy(*values["validation"]),
        "train_validation_gap": _difference(right["train"], right["validation"]),
        "margin_gap_correlation": _margin_gap(margins, np.array(gaps)),
        "length_bias": _length_bias(held_out, values["validation"]),
        "accuracy_by_type": _by_type(held_out, right["validation"]),
    }
    answered = _answered(p, data, model, tokenizer, pad) if source.is_world(data) else []
    metrics |= _probes(answered, model, tokenizer, pad, p.seed) if answered else _probes_of_labels(
        held_out, model, tokenizer, pad)
    stage.write_metrics("srf", "reward_validation", metrics)
    return (f"validation {metrics['validation_accuracy'].value:.3f}, out of distribution "
            f"{metrics['ood_accuracy'].value:.3f}, adversarial {metrics['adversarial_accuracy'].value:.3f}")


def _margin_gap(margins: np.ndarray, gaps: np.ndarray):
    """Rank correlation of margins and gaps. Given labels all have one gap; then every pair counts in both orders."""
    from realign.evaluate.preferences import rank_correlation

    return rank_correlation(margins, gaps, both_orders=bool(np.ptp(gaps) == 0))


def _difference(a: np.ndarray, b: np.ndarray):
    """Mean of a minus mean of b, two independent samples, normal interval."""
    from realign.metrics import Z95, Metric

    half = Z95 * float(np.sqrt(a.var() / a.size + b.var() / b.size))
    gap = float(a.mean() - b.mean())
    return Metric(gap, int(b.size), gap - half, gap + half)


def _length_bias(rows: Sequence[dict], values: tuple[np.ndarray, np.ndarray]):
    from realign.evaluate.preferences import length_bias

    lengths = [len(row[side]) for side in ("chosen", "rejected") for row in rows]
    scores = [row[f"{side}_score"] for side in ("chosen", "rejected") for row in rows]
    return length_bias(np.concatenate(values), lengths, scores)


def _by_type(rows: Sequence[dict], right: np.ndarray) -> dict:
    from realign.metrics import proportion

    types = np.array([row["preference_type"] for row in rows])
    return {str(t): proportion(int(right[types == t].sum()), int((types == t).sum())) for t in sorted(set(types))}


def _rewards(model, tokenizer, pad: int, messages: Sequence[list[dict]]) -> np.ndarray:
    from realign.models import chat
    from realign.train import reward

    return reward.score(model, chat.encode(tokenizer, messages), pad)


def _answered(p: RewardValidation, data: source.Data, model, tokenizer, pad: int) -> list[Answered]:
    """Fresh responses of the SFT model to prompts with held-out phrasings, people, combinations and names."""
    from realign.evaluate.scorers import with_answer
    from realign.models import build
    from stages.srf import judge, pairs

    sft, sft_tokenizer, _ = build.load(str(paths.checkpoint("srf", "sft")))
    chats = source.prompts(data, "test")[:p.prompts]
    found = pairs.sample(sft, sft_tokenizer, chats, p.temperatures, p.max_tokens, p.seed)
    named = judge.scorer()
    return [Answered(chat, texts, named([chat] * len(texts), texts),
                     _rewards(model, tokenizer, pad, [with_answer(chat, t) for t in texts]))
            for chat, texts in zip(chats, found, strict=True)]


def _probes(answered: Sequence[Answered], model, tokenizer, pad: int, seed: int) -> dict:
    """Out-of-distribution and adversarial accuracy, and consistency, on fresh responses."""
    from realign.evaluate import preferences

    better, worse, near, far = [], [], [], []
    for a in answered:
        for i, j in combinations(range(len(a.texts)), 2):
            gap, distance = a.scores[i].value - a.scores[j].value, float(a.rewards[i] - a.rewards[j])
            if gap == 0 and a.scores[i].parts == a.scores[j].parts and a.scores[i].value > 0:
                near.append(abs(distance))  # two wordings of one answer: right in the same parts
            elif abs(gap) >= 0.15:
                far.append(abs(distance))
                better.append(distance if gap > 0 else -distance)
                worse.append(0.0)
    attacks = _adversarial(answered, seed)
    honest = _rewards(model, tokenizer, pad, [h for h, _ in attacks])
    forged = _rewards(model, tokenizer, pad, [f for _, f in attacks])
    return {"ood_accuracy": preferences.ranking_accuracy(better, worse),
            "adversarial_accuracy": preferences.ranking_accuracy(honest, forged),
            "consistency": preferences.consistency(near, far, seed)}


def _adversarial(answered: Sequence[Answered], seed: int) -> list[tuple[list[dict], list[dict]]]:
    """The plainest right response of each prompt against its best-dressed right response made wrong."""
    from realign.evaluate.scorers import with_answer
    from realign.verify.corrupt import corrupt
    from realign.verify.reference import Reference

    found = []
    for a in answered:
        right = sorted((s.value, t) for s, t in zip(a.scores, a.texts, strict=True) if s.value > 0)
        if not right:
            continue
        rng = Random(f"{seed}:{a.chat['row_id']}")
        forged = corrupt(Reference.parse(a.chat["reference"]), right[-1][1], rng)
        if forged is not None:
            found.append((with_answer(a.chat, right[0][1]), with_answer(a.chat, forged)))
    return found


def _probes_of_labels(rows: Sequence[dict], model, tokenizer, pad: int) -> dict:
    """The same for labelled pairs: long dialogues as the far distribution, padding as the attack, and wordings."""
    from realign.evaluate import preferences
    from realign.evaluate.paraphrase import paraphrase
    from realign.evaluate.scorers import with_answer

    sides = {s: _rewards(model, tokenizer, pad, [with_answer(r, r[s]) for r in rows]) for s in ("chosen", "rejected")}
    wordings = _rewards(model, tokenizer, pad, [with_answer(r, paraphrase(r["chosen"])) for r in rows])
    padded = _rewards(model, tokenizer, pad, [
        with_answer(r, f"Certainly! I am glad that you asked. {r['rejected']} I hope that this helps!") for r in rows])
    turns = np.array([len(r["messages"]) for r in rows])
    longest = turns > np.median(turns)
    far = longest if longest.any() else np.ones(len(rows), bool)
    return {"ood_accuracy": preferences.ranking_accuracy(sides["chosen"][far], sides["rejected"][far]),
            "adversarial_accuracy": preferences.ranking_accuracy(sides["chosen"], padded),
            "consistency": preferences.consistency(np.abs(sides["chosen"] - wordings),
                                                   np.abs(sides["chosen"] - sides["rejected"]))}


if __name__ == "__main__":
    stage.main("srf", "reward_validation", run)
