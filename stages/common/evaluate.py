"""The final model against the base model, capability by capability and prompt by prompt: what the stage `evaluate` of
every workflow measures. Drift alone is from the model that the workflow's stages started from."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from realign.evaluate import capabilities, degeneration, gains, responses
from realign.evaluate.coverage import coverage
from realign.evaluate.drift import sums
from realign.evaluate.scorers import Scorer
from realign.lake.schemas import RECORDS, SAMPLES
from realign.lake.table import frame, small_rows, write
from realign.metrics import REGRESSION, exact, mean_of
from realign.models import build
from realign.params import Count, Names, Rows, Times, Tokens
from realign.stage import Stage
from stages.common import data, drawn, kept

Judge = Callable[[Sequence[dict], Sequence[str]], Sequence[float]]  # (chats, one text for each) to one number for each


@dataclass(frozen=True)
class Evaluate:
    """The final evaluation."""

    seed: Count
    """Of what is sampled."""
    task: Names
    """Capabilities that task accuracy is measured on."""
    prompts: Rows
    """Held-out prompts."""
    samples: Times
    """Responses of each model a prompt."""
    max_tokens: Tokens
    """Longest response, tokens."""


@dataclass(frozen=True)
class Judges:
    """Who judges sampled answers: the verifier on correctness and the scorer on preference, never mixed, and the reward
    that training paid. None where there is none."""

    right: Scorer | None
    score: Scorer | None
    reward: Judge | None

    def of(self, chats: Sequence[dict], texts: Sequence[str]) -> dict[str, Sequence[float]]:
        """What each says of one answer a chat; NaN where there is none."""
        nobody = np.full(len(texts), np.nan)
        return {"right": [float(s.parts["right"]) for s in self.right(chats, texts)] if self.right else nobody,
                "score": [s.value for s in self.score(chats, texts)] if self.score else nobody,
                "reward": self.reward(chats, texts) if self.reward else nobody}


def figures(here: Stage, start: Stage, final: Stage, judges: Judges) -> dict:
    """The metrics of the model that stage `final` made. Its answers to the evaluation rows are written as the stage's
    records, and what it and the base model answer to held-out prompts as its samples."""
    p = here.params(Evaluate)
    policy, tokenizer, _ = build.load(str(final.checkpoint))
    found = kept.measured(here, policy, tokenizer)
    drawn.answer(here, start, policy, tokenizer)
    sampled = _sampled(here, p, policy, build.load(str(start.checkpoint))[0], judges)
    write(frame(sampled, SAMPLES), here.dataset("samples"), SAMPLES)
    base, answered = (small_rows(stage.dataset("records"), RECORDS) for stage in (kept.BASELINE, here))
    retained, gained = found["retention"], gains.figures(sampled)
    return {
        **found, **gained, **_with_greedy(gained, base, answered),
        "task_accuracy": capabilities.task_accuracy(answered, p.task),
        "coverage": coverage(data.evaluation_rows(), base, answered),
        "retention_worst": min(retained.values(), key=lambda m: m.value),
        "retention_mean": mean_of(list(retained.values())),
        "regressions": exact(sum(m.value < 1 - REGRESSION for m in retained.values())),
    }


def _with_greedy(gained: dict, base: Sequence[dict], answered: Sequence[dict]) -> dict:
    """The groups of degeneration with the figures of greedy answers beside those of samples."""
    before = {row["example_id"]: row["output"] for row in base}
    texts = [before[row["example_id"]] for row in answered], [row["output"] for row in answered]
    greedy = degeneration.shares(texts[1]) | degeneration.against(*texts)
    return {name: gained[name] | {"greedy": metric} for name, metric in greedy.items()}


def _sampled(here: Stage, p: Evaluate, policy, start, judges: Judges) -> list[dict]:
    """Records of the answers of base and final model to held-out prompts, sample by sample with the same seeds."""
    base, tokenizer, _ = build.load(data.base_model())
    chats, sampling = data.prompts(here, "test")[:p.prompts], responses.at_temperature(tokenizer, p.max_tokens)
    found = []
    for sample in range(p.samples):
        old, new = (responses.rows(model, tokenizer, chats, sampling, p.seed + sample) for model in (base, policy))
        found.append(_records(chats, sample, sums(policy, start, new), judges,
                              *(responses.texts(tokenizer, rows) for rows in (old, new))))
    return [row for of_prompt in zip(*found, strict=True) for row in of_prompt]


def _records(chats: Sequence[dict], sample: int, drifted: np.ndarray, judges: Judges, before: list[str],
             after: list[str]) -> list[dict]:
    """One row a chat under SAMPLES."""
    old, new = judges.of(chats, before), judges.of(chats, after)
    return [{
        "example_id": chat["row_id"], "capability": chat["capability"], "slice": chat["slice"],
        "prompt": chat["messages"][-1]["content"], "reference": chat["reference"], "sample": sample,
        "base_output": before[i], "output": after[i],
        **{f"base_{name}": float(values[i]) for name, values in old.items()},
        **{name: float(values[i]) for name, values in new.items()},
        "kl": float(drifted[i, 0]), "entropy": float(drifted[i, 1]), "tokens": int(drifted[i, 2]),
    } for i, chat in enumerate(chats)]


def summary(metrics: dict) -> str:
    """One line of the figures that tell most."""
    worst = min(metrics["retention"], key=lambda name: metrics["retention"][name].value)
    won = "".join(f"win rate on {what} {metrics[name].value:.3f}, " for what, name in (
        ("correctness", "win_rate_correctness"), ("preference", "win_rate")) if name in metrics)
    return f"worst retention {metrics['retention_worst'].value:.3f} ({worst}), {won}KL {metrics['kl'].value:.3f}"
