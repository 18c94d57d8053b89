"""The arms of this project: `realign.train.loop` with each objective."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks import workload
from benchmarks.windows import Windows
from benchmarks.workload import BATCH, BETA, LORA, NEW_TOKENS, SAMPLES, Workload
from realign.models import backend

NEVER = 10**9


@dataclass(frozen=True)
class Start:
    """What an arm starts from."""

    model: object
    tokenizer: object
    config: dict
    folder: Path
    data: Workload
    windows: Windows


def run(tool: str, objective: str, folder: Path, data: Workload, windows: Windows) -> None:
    """Train window by window; the held-out loss before and after."""
    start = load(folder, data, windows)
    from benchmarks.measures import gflops, heldout_loss
    from realign.models import threads

    before = {"gflops": gflops(threads.each, threads.count()), "loss": heldout_loss(start.model, data.held_out)}
    ARMS[objective](start, before)
    windows.say(loss=heldout_loss(start.model, data.held_out))


def load(folder: Path, data: Workload, windows: Windows) -> Start:
    backend.start()
    from realign.models import build

    model, tokenizer, config = build.load(str(folder))
    return Start(model, tokenizer, config, folder, data, windows)


def settings(objective: str, **more):
    """A constant rate, and no checkpoints."""
    from realign.train import loop

    return loop.Settings(workload.RATES[objective], **{"warmup": 0.0, "final": 1.0, "beta2": workload.BETA2,
                                                      "weight_decay": workload.DECAY, "checkpoint_every": NEVER} | more)


def train(start: Start, model, loss, batches, objective: str, before: dict) -> None:
    """Say what holds before training, then run the loop with the windows' clock around its steps."""
    from realign.train import loop

    start.windows.say(**before)
    loop.train(model, loss, Clocked(batches, start.windows), settings(objective), scratch=Path("unused"), run_id="",
               progress_bar=lambda done, steps, figures: start.windows.end(done))


class Clocked:
    """Batches whose making belongs to the window."""

    def __init__(self, batches, windows: Windows):
        self.batches, self.windows = batches, windows

    def __len__(self) -> int:
        return len(self.batches)

    def figures(self) -> dict:
        return self.batches.figures()

    def micro_batches(self, step: int) -> list:
        self.windows.begin(step)
        return self.batches.micro_batches(step)


def encoded_rows(data: Workload) -> list:
    """Every token but a row's first is a target, as in mlx-lm without --mask-prompt."""
    from realign.models.chat import Encoded

    return [Encoded(row, [1] * len(row)) for row in data.rows]


def encoded_pairs(data: Workload) -> list:
    """Both sides of the pairs; their answers are the targets."""
    from realign.models.chat import Encoded

    def side(pair: dict, name: str) -> Encoded:
        return Encoded(pair["prompt"] + pair[name], [0] * len(pair["prompt"]) + [1] * len(pair[name]))

    return [(side(pair, "chosen"), side(pair, "rejected")) for pair in data.pairs]


def batches_of(objective, rows: list, steps: list[np.ndarray], micro: int = BATCH):
    """The rows of given steps, collated as the objective does."""
    from realign.train.batches import RowBatches

    return RowBatches(rows, objective.collate, list(map(objective.weigh, rows)), steps, micro)


def all_steps(windows: Windows) -> list[np.ndarray]:
    return [np.array(step) for step in windows.all_steps]


def sft(start: Start, before: dict, objective: str = "sft") -> None:
    from realign.objectives import sft

    batches = batches_of(sft.SFT, encoded_rows(start.data), all_steps(start.windows))
    train(start, start.model, sft.loss, batches, objective, before)


def lora(start: Start, before: dict) -> None:
    from realign.models import adapters

    adapters.prepare(start.model, start.config, adapters.Method("lora", **LORA), seed=0)
    sft(start, before, "lora")


def dpo(start: Start, before: dict) -> None:
    from realign.objectives import preference
    from realign.objectives.losses.preference import Preference

    pairs = encoded_pairs(start.data)
    preference.reference_logprobs(start.model, pairs[:BATCH])  # warms up
    started = start.windows.clock()
    reference = preference.reference_logprobs(start.model, pairs)
    before |= {"once": start.windows.clock() - started, "once_for": len(pairs)}
    objective = preference.objective(Preference(beta=BETA))
    batches = batches_of(objective, preference.with_reference(pairs, reference), all_steps(start.windows))
    train(start, start.model, objective.loss, batches, "dpo", before)


def reward(start: Start):
    """Pays for the text of what was sampled, and counts its tokens."""
    def of(rows) -> np.ndarray:
        sampled = [[t for t, m in zip(row.tokens, row.mask, strict=True) if m] for row in rows]
        start.windows.tokens += sum(map(len, sampled))
        return np.array([workload.reward(start.tokenizer.decode(tokens)) for tokens in sampled], np.float32)

    return of


def rollouts(start: Start, model, made_of, prompts: list[list[int]], objective):
    """One rollout a step, of all prompts, in one minibatch."""
    from realign.models import build
    from realign.models.generate import Sampling
    from realign.train.rollouts import Rollouts

    sampling = Sampling(NEW_TOKENS, 1.0, stop_tokens=tuple(start.tokenizer.eos_token_ids), batch_size=BATCH * SAMPLES)
    reference = build.load(str(start.folder))[0]
    return Rollouts(model, reference, prompts, reward(start), sampling, made_of, 0, objective.estimate)


def grpo(start: Start, before: dict) -> None:
    from realign.objectives import group
    from realign.objectives.losses.policy import Grpo

    how = group.GroupSettings(len(start.windows.all_steps), prompts_per_rollout=BATCH, samples=SAMPLES,
                              minibatch=BATCH * SAMPLES, epochs=1, scale="std", kl="sampled",
                              loss=Grpo(kl_weight=BETA))
    prompts = [prompt["tokens"] for prompt in start.data.prompts]
    batches = rollouts(start, start.model, how, prompts, group.BY_GROUP)
    train(start, start.model, group.loss_of(how), batches, "grpo", before)


def ppo(start: Start, before: dict) -> None:
    """As many answers a prompt as GRPO samples, each with the critic's values."""
    from realign.models import heads
    from realign.objectives import policy
    from realign.train.settings import Policy

    how = Policy(
        seed=0, algorithm="ppo", rollouts=len(start.windows.all_steps), prompts_per_rollout=BATCH * SAMPLES,
        minibatch=BATCH * SAMPLES, epochs=1, learning_rate=workload.RATES["ppo"], warmup=0.0, kl_penalty=BETA,
        entropy_bonus=0.01, reward_scale=1.0, value_weight=0.5, clip=0.2, discount=1.0, gae_lambda=0.95,
        improbable_penalty=0.0, max_tokens=NEW_TOKENS)
    model = heads.ScalarModel(start.model)
    prompts = [prompt["tokens"] for prompt in start.data.prompts for _ in range(SAMPLES)]
    batches = rollouts(start, model, how, prompts, policy.WITH_CRITIC)
    train(start, model, policy.loss_of(how), batches, "ppo", before)


ARMS = {"sft": sft, "lora": lora, "dpo": dpo, "grpo": grpo, "ppo": ppo}
