"""Stage 7 of SRF: the final policy against the baseline, capability by capability and prompt by prompt."""

from collections.abc import Sequence
from dataclasses import dataclass

from realign import params, paths, stage
from stages.srf import source


@dataclass(frozen=True)
class Evaluate:
    """`srf.evaluate` in params.yaml."""

    seed: int
    prompts: int
    samples: int
    max_tokens: int


def run() -> str:
    from realign.evaluate import capabilities
    from realign.lake.schemas import RECORDS
    from realign.lake.table import read_rows, write_table
    from realign.metrics import REGRESSION, exact, mean_of
    from realign.models import build

    p, data = params.load("srf.evaluate", Evaluate), source.settings()
    policy, tokenizer, _ = build.load(str(paths.checkpoint("srf", "iterate")))
    chats = source.evaluation_rows()
    after = capabilities.records(chats, capabilities.greedy(policy, tokenizer, chats))
    before = read_rows(paths.dataset("srf", "sft", "records"), RECORDS)
    write_table(after, paths.dataset("srf", "evaluate", "records"), RECORDS)
    retained = _retention(before, after)
    worst = min(retained, key=lambda name: retained[name].value)
    metrics = {
        "capability": capabilities.accuracy(after), "retention": retained, "retention_worst": retained[worst],
        "retention_mean": mean_of(list(retained.values())),
        "regressions": exact(sum(m.value < 1 - REGRESSION for m in retained.values())),
        **_against_sft(p, data, policy, tokenizer), **_reward_accuracy(),
    }
    stage.write_metrics("srf", "evaluate", metrics)
    return (f"worst retention {metrics['retention_worst'].value:.3f} ({worst}), "
            f"win rate {metrics['win_rate'].value:.3f}, KL {metrics['kl'].value:.3f}")


def _retention(before: Sequence[dict], after: Sequence[dict]) -> dict:
    """Final over baseline accuracy by capability; the interval resamples examples, paired."""
    from realign.metrics import bootstrap

    old = {row["example_id"]: row["score"] for row in before}
    found = {}
    for name in sorted({row["capability"] for row in after}):
        rows = [row for row in after if row["capability"] == name]
        found[name] = bootstrap(lambda a, b: a.sum() / max(b.sum(), 1e-9), [row["score"] for row in rows],
                                [old[row["example_id"]] for row in rows])
    return found


def _against_sft(p: Evaluate, data: source.Data, policy, tokenizer) -> dict:
    """Win rate on held-out prompts by the scorer, and drift, from samples of both models with the same seeds."""
    import numpy as np

    from realign.evaluate import drift, scorers
    from realign.evaluate.preferences import win_rate
    from realign.metrics import mean
    from realign.models import build
    from stages.srf import judge, measure

    reference, _, _ = build.load(str(paths.checkpoint("srf", "sft")))
    chats = source.prompts(data, "test")[:p.prompts]
    named = (judge.scorer() if source.is_world(data) else scorers.by_reward_model(paths.checkpoint("srf", "reward_model")))
    new, old, rows = [], [], []
    for sample in range(p.samples):
        for model, scores in ((policy, new), (reference, old)):
            sampled = measure.sampled(model, tokenizer, chats, p.max_tokens, p.seed + sample)
            scores.append([s.value for s in named(chats, measure.texts(tokenizer, sampled))])
            rows += sampled if model is policy else []
    kl, entropy = drift.drift(policy, reference, rows, build.pad_token(tokenizer))
    new, old = np.transpose(new), np.transpose(old)  # prompts × samples
    before, after = old.mean(axis=1), new.mean(axis=1)
    return {"win_rate": win_rate(new, old), "score_before": mean(before), "score_after": mean(after),
            "score_gain": mean(after - before), "kl": kl, "entropy": entropy}


def _reward_accuracy() -> dict:
    """The final reward model on the first one's held-out pairs, and how much it lost there."""
    from realign.lake.schemas import PAIRS
    from realign.lake.table import read_rows
    from realign.metrics import mean
    from realign.models import build, heads
    from stages.srf import rewards

    rows = read_rows(paths.dataset("srf", "preference_data", "pairs"), PAIRS)
    right, final = [], None
    for name in ("reward_model", "iterate_reward_model"):
        model, tokenizer = heads.load_scalar(paths.checkpoint("srf", name))
        pairs, pad = rewards.encode(tokenizer, rows)["validation"], build.pad_token(tokenizer)
        chosen, rejected = rewards.values(model, pairs, pad)
        right.append((chosen > rejected).astype(float))
        final = rewards.accuracy(model, pairs, pad)
    return {"reward_accuracy": final, "reward_accuracy_drop": mean(right[0] - right[1])}


if __name__ == "__main__":
    stage.main("srf", "evaluate", run)
