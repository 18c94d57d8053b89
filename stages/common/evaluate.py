"""The final model against the baseline, capability by capability, and against the model it started from, prompt by
prompt: what the stage `evaluate` of every workflow measures."""

from dataclasses import dataclass

import numpy as np

from realign.evaluate import responses
from realign.evaluate.drift import drift
from realign.evaluate.preferences import win_rate
from realign.evaluate.scorers import Scorer
from realign.metrics import REGRESSION, exact, mean, mean_of
from realign.models import build
from realign.params import Count, Positive
from realign.stage import Stage
from stages.common import data, kept


@dataclass(frozen=True)
class Evaluate:
    """The final evaluation."""

    seed: Count
    """Of what is sampled."""
    prompts: Positive
    """Held-out prompts."""
    samples: Positive
    """Responses of each model a prompt."""
    max_tokens: Positive
    """Longest response, tokens."""


def figures(here: Stage, start: Stage, final: Stage, scorer: Scorer | None) -> dict:
    """The metrics of the model that stage `final` made: what it kept of the base model's capabilities, and how it
    stands against the model of `start`: in what the scorer prefers only where there is one. Its answers to the
    evaluation rows are written as the stage's records."""
    policy, tokenizer, _ = build.load(str(final.checkpoint))
    found = kept.measured(here, policy, tokenizer)
    retained = found["retention"]
    return {
        **found,
        "retention_worst": min(retained.values(), key=lambda m: m.value),
        "retention_mean": mean_of(list(retained.values())),
        "regressions": exact(sum(m.value < 1 - REGRESSION for m in retained.values())),
        **_against(here, policy, build.load(str(start.checkpoint))[0], tokenizer, scorer),
    }


def _against(here: Stage, policy, reference, tokenizer, scorer: Scorer | None) -> dict:
    """Win rate on held-out prompts by the scorer, and drift, from samples of both models with the same seeds."""
    p = here.params(Evaluate)
    chats, sampling = data.prompts(here, "test")[:p.prompts], responses.at_temperature(tokenizer, p.max_tokens)
    sampled = [[responses.rows(model, tokenizer, chats, sampling, p.seed + sample) for sample in range(p.samples)]
               for model in (policy, reference)[:2 if scorer else 1]]
    kl, entropy = drift(policy, reference, [row for rows in sampled[0] for row in rows])
    if scorer is None:
        return {"kl": kl, "entropy": entropy}
    new, old = (np.transpose([[s.value for s in scorer(chats, responses.texts(tokenizer, rows))] for rows in of_model])
                for of_model in sampled)  # prompts × samples
    before, after = old.mean(axis=1), new.mean(axis=1)
    return {"win_rate": win_rate(new, old), "score_before": mean(before), "score_after": mean(after),
            "score_gain": mean(after - before), "kl": kl, "entropy": entropy}


def summary(metrics: dict) -> str:
    """One line of the figures that tell most."""
    worst = min(metrics["retention"], key=lambda name: metrics["retention"][name].value)
    won = f"win rate {metrics['win_rate'].value:.3f}" if "win_rate" in metrics else "no win rate without a scorer"
    return f"worst retention {metrics['retention_worst'].value:.3f} ({worst}), {won}, KL {metrics['kl'].value:.3f}"
