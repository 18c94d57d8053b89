"""Stage 6: more rounds with fresh pairs and a retrained reward model; the best round stays."""

import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from realign.curate.splits import split_of
from realign.evaluate import scorers
from realign.evaluate.policy import Measured
from realign.lake.atomic import atomic_directory
from realign.lake.schemas import PAIRS
from realign.lake.table import small_rows
from realign.metrics import exact, mean
from realign.models import build, card, heads
from realign.params import Rows, Times
from realign.stage import Stage
from realign.train.remedies import fault_of
from realign.train.rounds import Round, best_round, gain
from stages.common import data, policy
from stages.common.policy import Optimised

from . import preference_data, reward_model, rl


@dataclass(frozen=True)
class Iterate:
    """Further rounds; what is not named here is as in `rl`, `reward_model` and `preference_data`."""

    rounds: Times
    """Rounds at most."""
    prompts: Rows
    """Fresh ones a round."""
    rollouts: Times
    """Of the policy a round."""
    reward_epochs: Times
    """Passes of the reward model over old and fresh pairs a round."""
    least_gain: float
    """Of the mean score (0 to 1); a round that gains less ends the rounds."""


@dataclass(frozen=True)
class Made:
    """The policy and its reward model on disk, and what held-out prompts say of them."""

    policy: Path
    reward_model: Path
    measured: Measured
    rewards: np.ndarray


def run(here: Stage) -> str:
    p, knobs = here.params(Iterate), here.of("rl").params(rl.Rl)
    prompts, held_out = data.prompts(here, "prompts"), data.prompts(here, "validation")[:knobs.heldout_prompts]
    rounds = best_round(
        _first(here, held_out, knobs),
        lambda number, before: _round(here, number, before.made, prompts, held_out, p, knobs),
        lambda found: fault_of(found.made.measured.kl.value, found.made.measured.entropy.value, knobs) is None,
        p.rounds, p.least_gain)
    final, first, played = rounds.final.made, rounds.played[0].made, len(rounds.played) - 1
    for stage, made in ((here, final.policy), (here.of("iterate_reward_model"), final.reward_model)):
        with atomic_directory(stage.checkpoint) as folder:
            shutil.copytree(made, folder, dirs_exist_ok=True)
            if stage == here:
                card.write(folder, str(here.of("rl").checkpoint), here.workflow, here.name)
    first_rewards = policy.rewarder(final.reward_model, build.load(str(final.policy))[1], held_out)(first.measured.rows)
    scored = {"score_gain": gain(rounds.final, rounds.played[0]), "score": mean(rounds.final.worth)}
    here.report({
        "rounds": exact(played), "best_round": exact(rounds.best), "rolled_back": exact(played - rounds.best),
        "reward_gain": mean(final.rewards - first_rewards), "kl": final.measured.kl, "entropy": final.measured.entropy,
        **(scored if data.has_scorer(here) else {}),
    }, [_figures(number, found) for number, found in enumerate(rounds.played[1:], 1)])
    return f"round {rounds.best} of {played} is best, worth {mean(rounds.final.worth).value:.3f}"


def _figures(number: int, found: Round) -> dict[str, float]:
    """A round on the curve."""
    measured = found.made.measured
    return {"round": number, "score": mean(found.worth).value, "kl": measured.kl.value,
            "entropy": measured.entropy.value}


def _with_worth(here: Stage, made: Made, held_out: list[dict]) -> Round:
    """The round with what its responses are worth: by the scorer, or without one by the first reward model, one
    measure for every round."""
    scorer = data.independent_scorer(here) or scorers.by_reward_model(here.of("reward_model").checkpoint)
    return Round(made, [s.value for s in scorer(held_out, made.measured.texts)])


def _first(here: Stage, held_out: list[dict], knobs: Optimised) -> Round:
    """The policy of `rl` as it comes."""
    start, rewards_by = here.of("rl").checkpoint, here.of("reward_model").checkpoint
    measured, rewards = policy.measured(here, start, rewards_by, held_out, knobs)
    return _with_worth(here, Made(start, rewards_by, measured, rewards), held_out)


def _round(here: Stage, number: int, before: Made, prompts: list[dict], held_out: list[dict], p: Iterate,
           knobs: Optimised) -> Round:
    """Fresh pairs from the policy, the reward model retrained on old and fresh pairs, more steps of RL."""
    rewards_by = _retrained(here, number, before, prompts, p)
    turned = replace(knobs, rollouts=p.rollouts, seed=knobs.seed + 1000 * number)
    learnt = policy.learn(here, before.policy, rewards_by, prompts, held_out, turned, knobs.seed,
                          here.scratch / f"policy_checkpoint_{number}")
    folder = here.scratch / f"policy_{number}"
    with atomic_directory(folder) as made:
        build.save(learnt.outcome.policy, build.load(str(before.policy))[2], before.policy, made)
    return _with_worth(here, Made(folder, rewards_by, learnt.outcome.measured, learnt.rewards), held_out)


def _retrained(here: Stage, number: int, before: Made, prompts: list[dict], p: Iterate) -> Path:
    knobs = here.of("reward_model").params(reward_model.RewardModel)
    model, tokenizer = heads.load_scalar(before.reward_model)
    reward_model.learn(model, tokenizer, _pairs(here, number, before, prompts, p),
                       replace(knobs, epochs=p.reward_epochs, seed=knobs.seed + number),
                       build.fingerprint(str(before.reward_model)), here.scratch / f"reward_checkpoint_{number}")
    folder = here.scratch / f"reward_model_{number}"
    with atomic_directory(folder) as made:
        heads.save_scalar(model, build.load(str(before.reward_model))[2], before.reward_model, made)
    return folder


def _pairs(here: Stage, number: int, before: Made, prompts: list[dict], p: Iterate) -> list[dict]:
    """The pairs so far and fresh ones from the policy (labelled data has no scorer for fresh ones)."""
    old = small_rows(here.of("preference_data").dataset("pairs"), PAIRS)
    if not data.settings(here).demo:
        return old
    knobs = here.of("preference_data").params(preference_data.PreferenceData)
    known = {row["prompt_id"] for row in old}
    chats = [chat for chat in prompts if chat["row_id"] not in known]
    chats = chats[(number - 1) * p.prompts:number * p.prompts]
    made = preference_data.fresh(here, before.policy, chats, knobs, knobs.seed + 100 * number)
    # The old pairs fill both splits, so that few fresh ones need not.
    return old + [{**row, "split": split_of(row["prompt_id"], knobs.shares, knobs.seed)} for row in made]
