"""Stage 5: optimise the policy against the frozen reward model, close to the SFT model."""

from dataclasses import dataclass

from realign.lake.atomic import atomic_directory
from realign.metrics import mean
from realign.models import build, card
from realign.stage import Stage
from realign.train import remedies
from stages.common import data, kept, policy
from stages.common.policy import Optimised


@dataclass(frozen=True)
class Rl(Optimised):
    """How the policy is trained on the reward."""


def run(here: Stage) -> str:
    p, sft, reward_model = here.params(Rl), here.of("sft").checkpoint, here.of("reward_model").checkpoint
    prompts, decontamination = data.training_prompts(here)
    held_out = data.prompts(here, "validation")[:p.heldout_prompts]
    before, rewards_before = policy.measured(here, sft, reward_model, held_out, p)
    learnt = policy.learn(here, sft, reward_model, prompts, held_out, p, p.seed, here.scratch / "checkpoint")
    _, tokenizer, config = build.load(str(sft))
    with atomic_directory(here.checkpoint) as folder:
        build.save(learnt.outcome.policy, config, sft, folder)
        card.write(folder, str(sft), here.workflow, here.name)
    after, attempts = learnt.outcome.measured, learnt.outcome.attempts
    metrics = {"kl": after.kl, "entropy": after.entropy, "entropy_before": before.entropy,
               "reward_before": mean(rewards_before), "reward_after": mean(learnt.rewards),
               "reward_gain": mean(learnt.rewards - rewards_before),
               "decontamination": decontamination, **remedies.tried(attempts)}
    metrics |= kept.measured(here, learnt.outcome.policy, tokenizer)
    if scorer := data.independent_scorer(here):
        pairs = zip(scorer(held_out, after.texts), scorer(held_out, before.texts), strict=True)
        metrics["score_gain"] = mean([new.value - old.value for new, old in pairs])
    here.report(metrics, learnt.outcome.history, remedies.settled(attempts))
    return (f"reward {metrics['reward_before'].value:.2f} to {metrics['reward_after'].value:.2f}, "
            f"KL {after.kl.value:.3f}")
