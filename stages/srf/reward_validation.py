"""Stage 4: is the reward model right beyond its training pairs, and right for the right reasons?"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from random import Random

import numpy as np

from realign.evaluate import preferences, responses
from realign.evaluate.paraphrase import paraphrase
from realign.lake.schemas import PAIRS
from realign.lake.table import small_rows
from realign.metrics import Metric, difference, proportions
from realign.models import build, chat, heads
from realign.models.chat import with_answer
from realign.objectives import reward
from realign.params import Count, Rows, Temperatures, Tokens
from realign.stage import Stage
from realign.verify.corrupt import corrupt
from realign.verify.reference import Reference, Score
from stages.common import data

FAR = 0.15  # of the scores, between two responses of different quality


@dataclass(frozen=True)
class RewardValidation:
    """On what the reward model is tested beside the held-out pairs."""

    seed: Count
    """Of what is sampled, and of the attacks."""
    prompts: Rows
    """With held-out phrasings, people, combinations and names."""
    temperatures: Temperatures
    """One response at each."""
    max_tokens: Tokens
    """Longest response, tokens."""


@dataclass(frozen=True)
class Rewarder:
    """The reward model and its tokenizer."""

    model: heads.ScalarModel
    tokenizer: object

    def rewards(self, dialogues: Sequence[list[dict]]) -> np.ndarray:
        """One reward a dialogue, given as messages."""
        return heads.score(self.model, chat.encode(self.tokenizer, dialogues))


@dataclass(frozen=True)
class Answered:
    """Responses to one prompt with scores and rewards, in one order."""

    chat: dict
    texts: list[str]
    scores: list[Score]
    rewards: np.ndarray


def run(here: Stage) -> str:
    p, rewarder = here.params(RewardValidation), Rewarder(*heads.load_scalar(here.of("reward_model").checkpoint))
    rows = small_rows(here.of("preference_data").dataset("pairs"), PAIRS)
    values = {split: reward.values(rewarder.model, pairs)
              for split, pairs in reward.encode_pairs(rewarder.tokenizer, rows).items()}
    held_out = [row for row in rows if row["split"] == "validation"]
    answered = _answered(here, p, rewarder) if data.settings(here).demo else []
    metrics = _held_out(held_out, values) | (
        _probes(answered, rewarder, p.seed) if answered else _probes_of_labels(held_out, rewarder))
    here.report(metrics)
    return (f"validation {metrics['validation_accuracy'].value:.3f}, out of distribution "
            f"{metrics['ood_accuracy'].value:.3f}, adversarial {metrics['adversarial_accuracy'].value:.3f}")


def _held_out(rows: Sequence[dict], values: dict[str, tuple[np.ndarray, np.ndarray]]) -> dict:
    """What the pairs themselves tell; `rows` are the held-out ones."""
    right = {split: (chosen > rejected).astype(float) for split, (chosen, rejected) in values.items()}
    margins = values["validation"][0] - values["validation"][1]
    return {
        "train_accuracy": preferences.ranking_accuracy(*values["train"]),
        "validation_accuracy": preferences.ranking_accuracy(*values["validation"]),
        "train_validation_gap": difference(right["train"], right["validation"]),
        "margin_gap_correlation": _margin_gap(margins, rows),
        "length_bias": _length_bias(rows, values["validation"]),
        "accuracy_by_type": proportions([row["preference_type"] for row in rows], right["validation"]),
    }


def _margin_gap(margins: np.ndarray, rows: Sequence[dict]) -> Metric:
    """Rank correlation of margins and gaps. Given labels all have one gap; then every pair counts in both orders."""
    gaps = np.array([row["chosen_score"] - row["rejected_score"] for row in rows])
    return preferences.rank_correlation(margins, gaps, both_orders=bool(np.ptp(gaps) == 0))


def _length_bias(rows: Sequence[dict], values: tuple[np.ndarray, np.ndarray]) -> Metric:
    lengths = [len(row[side]) for side in ("chosen", "rejected") for row in rows]
    scores = [row[f"{side}_score"] for side in ("chosen", "rejected") for row in rows]
    return preferences.length_bias(np.concatenate(values), lengths, scores)


def _answered(here: Stage, p: RewardValidation, rewarder: Rewarder) -> list[Answered]:
    """Fresh responses of the SFT model to prompts with held-out phrasings, people, combinations and names."""
    sft, tokenizer, _ = build.load(str(here.of("sft").checkpoint))
    chats, scorer = data.prompts(here, "test")[:p.prompts], data.scorer(here)
    found = responses.several(sft, tokenizer, chats, p.temperatures, p.max_tokens, p.seed)
    return [Answered(row, texts, scorer([row] * len(texts), texts),
                     rewarder.rewards([with_answer(row, text) for text in texts]))
            for row, texts in zip(chats, found, strict=True)]


def _probes(answered: Sequence[Answered], rewarder: Rewarder, seed: int) -> dict[str, Metric]:
    """Out-of-distribution and adversarial accuracy, and consistency, on fresh responses."""
    better, near, far = [], [], []
    for a in answered:
        for i, j in combinations(range(len(a.texts)), 2):
            gap, distance = a.scores[i].value - a.scores[j].value, float(a.rewards[i] - a.rewards[j])
            if gap == 0 and a.scores[i].parts == a.scores[j].parts and a.scores[i].value > 0:
                near.append(abs(distance))  # two wordings of one answer: right in the same parts
            elif abs(gap) >= FAR:
                far.append(abs(distance))
                better.append(distance if gap > 0 else -distance)
    attacks = _attacks(answered, seed)
    honest, forged = (rewarder.rewards([attack[side] for attack in attacks]) for side in (0, 1))
    return {"ood_accuracy": preferences.ranking_accuracy(better, np.zeros(len(better))),
            "adversarial_accuracy": preferences.ranking_accuracy(honest, forged),
            "consistency": preferences.consistency(near, far, seed)}


def _attacks(answered: Sequence[Answered], seed: int) -> list[tuple[list[dict], list[dict]]]:
    """The plainest right response of each prompt against its best-dressed right response made wrong."""
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


def _probes_of_labels(rows: Sequence[dict], rewarder: Rewarder) -> dict[str, Metric]:
    """The same for labelled pairs: the longer half of the prompts as the far ones, padding as the attack, and
    wordings."""
    chosen, rejected = (rewarder.rewards([with_answer(r, r[side]) for r in rows]) for side in ("chosen", "rejected"))
    wordings = rewarder.rewards([with_answer(r, paraphrase(r["chosen"])) for r in rows])
    padded = rewarder.rewards([
        with_answer(r, f"Certainly! I am glad that you asked. {r['rejected']} I hope that this helps!") for r in rows])
    lengths = [sum(len(message["content"]) for message in r["messages"]) for r in rows]
    far = np.argsort(lengths, kind="stable")[len(rows) // 2:]
    return {"ood_accuracy": preferences.ranking_accuracy(chosen[far], rejected[far]),
            "adversarial_accuracy": preferences.ranking_accuracy(chosen, padded),
            "consistency": preferences.consistency(np.abs(chosen - wordings), np.abs(chosen - rejected))}
