"""Stage 5 of SRF: optimise the policy against the frozen reward model, close to the SFT model."""

from dataclasses import dataclass
from typing import Literal

from realign import params, paths, stage
from realign.errors import UserError
from stages.srf import source


@dataclass(frozen=True)
class Rl:
    """`srf.rl` in params.yaml: flat, so that `-S srf.rl.kl_penalty=…` sets what it names.

    Repeats the fields of realign.train.policy.PolicySettings, whose module imports MLX: the backend comes first.
    """

    seed: int
    algorithm: Literal["ppo", "a2c"]
    rollouts: int
    prompts_per_rollout: int
    minibatch: int
    epochs: int
    learning_rate: float
    warmup: float
    kl_penalty: float
    entropy_bonus: float
    reward_scale: float
    value_weight: float
    clip: float
    discount: float
    gae_lambda: float
    max_tokens: int
    kl_limit: float
    entropy_low: float
    entropy_high: float
    length_factor: float
    verify_every: int
    verify_prompts: int
    gaming_fall: float
    attempts: int
    heldout_prompts: int


def knobs(p: Rl):
    """The knobs and limits of the run, from the parameters."""
    from dataclasses import fields

    from realign.train.policy import PolicySettings
    from stages.srf.policies import Knobs, Limits

    settings = PolicySettings(**{f.name: getattr(p, f.name) for f in fields(PolicySettings)})
    return (Knobs(p.learning_rate, p.warmup, settings),
            Limits(p.kl_limit, p.entropy_low, p.entropy_high, p.length_factor, p.gaming_fall, p.attempts))


def verifier(p: Rl, data: source.Data):
    """What watches for gaming, on held-out prompts that the stage's own figures do not use; None where nothing
    can."""
    from stages.srf import judge
    from stages.srf.policies import Verifier

    named = judge.verifier(data)
    if named is None:
        return None
    chats = source.prompts(data, "validation")[p.heldout_prompts:][:p.verify_prompts]
    if len(chats) < p.verify_prompts or not chats:
        raise UserError(f"{len(chats)} held-out prompts are left beside the first {p.heldout_prompts}",
                        where="srf.rl.verify_prompts", expected=f"{max(p.verify_prompts, 1)}, and at least 1",
                        fix="lower it or srf.rl.heldout_prompts, or bring more held-out prompts")
    return Verifier(params.load("srf.scorer", str), named, chats, p.verify_every)


def load_models(reward_model):
    """The SFT model as reference, and the reward model of a directory."""
    from realign.models import build, chat, heads
    from stages.srf.measure import Models

    reference, tokenizer, config = build.load(str(paths.checkpoint("srf", "sft")))
    scored, reward_tokenizer = heads.load_scalar(reward_model)
    own = None if chat.alike(tokenizer, reward_tokenizer) else reward_tokenizer
    return Models(tokenizer, reference, scored, own, build.pad_token(tokenizer)), config


def run() -> str:
    from realign.lake.atomic import atomic_directory
    from realign.metrics import mean
    from realign.models import build
    from stages.srf import judge, policies
    from stages.srf.measure import Measured, measure

    p, data = params.load("srf.rl", Rl), source.settings()
    sft, reward_folder = paths.checkpoint("srf", "sft"), paths.checkpoint("srf", "reward_model")
    models, config = load_models(reward_folder)
    held_out = source.prompts(data, "validation")[:p.heldout_prompts]
    watch = verifier(p, data)

    def judged(policy) -> Measured:
        return measure(policy, models, held_out, p.max_tokens, p.seed)

    before = judged(models.reference)
    policy, after, history, attempts = policies.optimise(
        lambda: build.load(str(sft))[0], models, source.prompts(data, "prompts"), *knobs(p), judged,
        max_tokens=p.max_tokens,
        seed=p.seed, scratch=paths.run_log("srf", "rl") / "checkpoint",
        origin=build.fingerprint(str(sft)) + build.fingerprint(str(reward_folder)),
        verifier=watch)
    with atomic_directory(paths.checkpoint("srf", "rl")) as folder:
        build.save(policy, config, sft, folder)
    metrics = {"kl": after.kl, "entropy": after.entropy, "entropy_before": before.entropy,
               "reward_before": mean(before.rewards), "reward_after": mean(after.rewards),
               "reward_gain": mean(after.rewards - before.rewards), **policies.tried(attempts)}
    if source.is_world(data):
        named = judge.scorer()
        gains = [a.value - b.value for a, b in zip(named(held_out, after.texts), named(held_out, before.texts))]
        metrics["score_gain"] = mean(gains)
    stage.write_metrics("srf", "rl", metrics, history)
    return f"reward {metrics['reward_before'].value:.2f} to {metrics['reward_after'].value:.2f}, KL {after.kl.value:.3f}"


if __name__ == "__main__":
    stage.main("srf", "rl", run)
