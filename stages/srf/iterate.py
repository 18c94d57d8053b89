"""Stage 6 of SRF: more rounds with fresh pairs and a retrained reward model; the best round stays."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from realign import params, paths, stage
from stages.srf import source


@dataclass(frozen=True)
class Iterate:
    """`srf.iterate` in params.yaml. What is not named here is as in `srf.rl`, `srf.reward_model` and
    `srf.preference_data`."""

    rounds: int
    prompts: int
    rollouts: int
    reward_epochs: int
    least_gain: float


@dataclass(frozen=True)
class Round:
    """One round: the policy and its reward model on disk, and what held-out prompts say of it."""

    policy: Path
    reward_model: Path
    measured: object  # stages.srf.measure.Measured
    worth: Sequence[float]  # of each held-out prompt, by the scorer (by the reward model where labels were given)


def run() -> str:
    import shutil

    from realign.lake.atomic import atomic_directory
    from realign.metrics import exact, mean

    p, data = params.load("srf.iterate", Iterate), source.settings()
    scratch = paths.run_log("srf", "iterate")
    rounds = [_first(data)]
    best, curve = 0, []
    for number in range(1, p.rounds + 1):
        rounds.append(_round(number, rounds[best], p, data, scratch))
        curve.append({"round": number, "score": float(mean(rounds[-1].worth).value),
                      "kl": rounds[-1].measured.kl.value, "entropy": rounds[-1].measured.entropy.value})
        gain = _gain(rounds[-1], rounds[best])
        if gain.value > 0 and _within_limits(rounds[-1]):
            best = number
        if gain.value < p.least_gain:
            break  # converged, or worse than the best so far, which then stays
    for made, source_folder in (("iterate", rounds[best].policy), ("iterate_reward_model", rounds[best].reward_model)):
        with atomic_directory(paths.checkpoint("srf", made)) as folder:
            shutil.copytree(source_folder, folder, dirs_exist_ok=True)
    final = rounds[best]
    metrics = {"rounds": exact(len(rounds) - 1), "best_round": exact(best), "rolled_back": exact(len(rounds) - 1 - best),
               "score_gain": _gain(final, rounds[0]), "score": mean(final.worth),
               "reward_gain": mean(final.measured.rewards - _same_judge(final, rounds[0], _held_out(data))),
               "kl": final.measured.kl, "entropy": final.measured.entropy}
    stage.write_metrics("srf", "iterate", metrics, curve)
    return f"round {best} of {len(rounds) - 1} is best, score {metrics['score'].value:.3f}"


def _gain(new: Round, old: Round):
    from realign.metrics import mean

    return mean([a - b for a, b in zip(new.worth, old.worth, strict=True)])


def _within_limits(found: Round) -> bool:
    from stages.srf import policies
    from stages.srf.rl import Rl, knobs

    _, limits = knobs(params.load("srf.rl", Rl))
    return policies.fault_of(found.measured.kl.value, found.measured.entropy.value, limits) is None


def _first(data: source.Data) -> Round:
    """The policy of `rl` as it comes."""
    from realign.models import build
    from stages.srf.measure import measure
    from stages.srf.rl import Rl, load_models

    p = params.load("srf.rl", Rl)
    policy, reward_model = paths.checkpoint("srf", "rl"), paths.checkpoint("srf", "reward_model")
    measured = measure(build.load(str(policy))[0], load_models(reward_model)[0], _held_out(data), p.max_tokens, p.seed)
    return Round(policy, reward_model, measured, _worth(measured, data))


def _held_out(data: source.Data) -> list[dict]:
    from stages.srf.rl import Rl

    return source.prompts(data, "validation")[:params.load("srf.rl", Rl).heldout_prompts]


def _worth(measured, data: source.Data) -> list[float]:
    from stages.srf import judge

    if not source.is_world(data):
        return list(map(float, measured.rewards))
    return [s.value for s in judge.scorer()(_held_out(data), measured.texts)]


def _same_judge(final: Round, first: Round, held_out: Sequence[dict]):
    """Rewards of what the first round's policy sampled, by the final round's reward model."""
    from stages.srf.measure import rewarder
    from stages.srf.rl import load_models

    return rewarder(load_models(final.reward_model)[0], held_out)(first.measured.rows)


def _round(number: int, before: Round, p: Iterate, data: source.Data, scratch: Path) -> Round:
    """Fresh pairs from the policy, the reward model retrained on old and fresh pairs, more steps of RL."""
    from dataclasses import replace

    from realign.lake.atomic import atomic_directory
    from realign.models import build
    from stages.srf import policies
    from stages.srf.measure import measure
    from stages.srf.rl import Rl, knobs, load_models, verifier

    rl = params.load("srf.rl", Rl)
    reward_folder = _retrain(number, before, p, data, scratch)
    models, config = load_models(reward_folder)
    turned, limits = knobs(replace(rl, rollouts=p.rollouts, seed=rl.seed + 1000 * number))
    held_out = _held_out(data)
    policy, measured, _, _ = policies.optimise(
        lambda: build.load(str(before.policy))[0], models, source.prompts(data, "prompts"), turned, limits,
        lambda tuned: measure(tuned, models, held_out, rl.max_tokens, rl.seed), max_tokens=rl.max_tokens,
        seed=rl.seed + 1000 * number, scratch=scratch / f"policy_checkpoint_{number}",
        origin=build.fingerprint(str(before.policy)) + build.fingerprint(str(reward_folder)),
        verifier=verifier(rl, data))
    folder = scratch / f"policy_{number}"
    with atomic_directory(folder) as made:
        build.save(policy, config, before.policy, made)
    return Round(folder, reward_folder, measured, _worth(measured, data))


def _retrain(number: int, before: Round, p: Iterate, data: source.Data, scratch: Path) -> Path:
    from dataclasses import replace

    from realign.lake.atomic import atomic_directory
    from realign.models import build, heads
    from stages.srf.reward_model import RewardModel, fit

    settings = params.load("srf.reward_model", RewardModel)
    model, tokenizer = heads.load_scalar(before.reward_model)
    config = build.load(str(before.reward_model))[2]
    fit(model, tokenizer, _pairs(number, before, p, data),
        replace(settings, epochs=p.reward_epochs, seed=settings.seed + number),
        build.fingerprint(str(before.reward_model)), scratch / f"reward_checkpoint_{number}")
    folder = scratch / f"reward_model_{number}"
    with atomic_directory(folder) as made:
        heads.save_scalar(model, config, before.reward_model, made)
    return folder


def _pairs(number: int, before: Round, p: Iterate, data: source.Data) -> list[dict]:
    """The pairs so far and fresh ones from the policy (labelled data has no scorer for fresh ones)."""
    from realign.curate.splits import split_of
    from realign.lake.schemas import PAIRS
    from realign.lake.table import read_rows
    from stages.srf import fresh

    old = read_rows(paths.dataset("srf", "preference_data", "pairs"), PAIRS)
    if not source.is_world(data):
        return old
    settings = fresh.settings()
    known = {row["prompt_id"] for row in old}
    chats = [chat for chat in source.prompts(data, "prompts") if chat["row_id"] not in known]
    chats = chats[(number - 1) * p.prompts:number * p.prompts]
    made = fresh.pairs_of(before.policy, chats, settings, settings.seed + 100 * number)
    # The old pairs fill both splits, so that few fresh ones need not.
    return old + [{**row, "split": split_of(row["prompt_id"], settings.shares, settings.seed)} for row in made]


if __name__ == "__main__":
    stage.main("srf", "iterate", run)
