"""The arms of mlx-lm and mlx-lm-lora: their trainers, called as their command lines call them.

Their batching is their own, given the rows of each step. Of this project they get the OpenBLAS and nothing else.
"""

import sys
import tempfile
from pathlib import Path

from benchmarks import workload
from benchmarks.windows import Windows
from benchmarks.workload import BATCH, BETA, LONGEST, LORA, NEW_TOKENS, SAMPLES, Workload

NEVER = 10**9


def run(tool: str, objective: str, folder: Path, data: Workload, windows: Windows) -> None:
    """Train window by window; the held-out loss before and after."""
    if tool != "mlx-lm-stock" and sys.platform == "linux":
        from realign.models import backend

        backend.load_openblas(backend.cores())
    from mlx_lm.utils import load

    from benchmarks.measures import gflops, heldout_loss

    model, tokenizer = load(str(folder))
    windows.say(gflops=gflops(), loss=heldout_loss(model, data.held_out))
    with tempfile.TemporaryDirectory() as scratch:
        adapters = f"{scratch}/adapters.safetensors"
        if objective in ("sft", "lora"):
            mlx_lm(model, objective, data, windows, adapters)
        else:
            mlx_lm_lora(model, tokenizer, load(str(folder))[0], objective, data, windows, adapters)
    windows.say(loss=heldout_loss(model, data.held_out))


def optimizer(objective: str):
    """AdamW with the settings of all arms."""
    import mlx.optimizers as optim

    return optim.AdamW(workload.RATES[objective], betas=[0.9, workload.BETA2], weight_decay=workload.DECAY,
                       bias_correction=True)


def reporter(windows: Windows):
    """A callback that ends the windows; the trainers report after every window's steps."""
    from mlx_lm.tuner.callbacks import TrainingCallback

    class Report(TrainingCallback):
        def on_train_loss_report(self, info: dict) -> None:
            if "train_average_generated_tokens" in info:
                windows.tokens += info["train_average_generated_tokens"] * SAMPLES * BATCH * windows.steps
            windows.end(info["iteration"])

    return Report()


def mlx_lm(model, objective: str, data: Workload, windows: Windows, adapters: str) -> None:
    from mlx_lm.tuner import trainer
    from mlx_lm.tuner.utils import linear_to_lora_layers

    if objective == "lora":
        model.freeze()
        linear_to_lora_layers(model, len(model.layers), dict(LORA))

    def batches(dataset, batch_size, max_seq_length, **_):
        for step, chosen in enumerate(windows.all_steps):
            windows.begin(step)
            yield from trainer.iterate_batches([(data.rows[i], 0) for i in chosen], batch_size, max_seq_length)

    settings = trainer.TrainingArgs(
        batch_size=BATCH, iters=len(windows.all_steps), steps_per_report=windows.steps, steps_per_save=NEVER,
        max_seq_length=LONGEST, adapter_file=adapters)
    trainer.train(model, optimizer(objective), data.rows, args=settings, iterate_batches=batches,
                  training_callback=reporter(windows))


def mlx_lm_lora(model, tokenizer, reference, objective: str, data: Workload, windows: Windows, adapters: str) -> None:
    import mlx.core as mx

    # On a machine without a GPU it stops at two questions about GPU memory that MLX does not answer there.
    if not mx.metal.is_available():
        ask = mx.device_info
        mx.device_info = lambda *which: {"max_recommended_working_set_size": 0, **ask(*which)}
        mx.set_wired_limit = lambda limit: 0
    settings = {"batch_size": BATCH, "iters": len(windows.all_steps), "steps_per_report": windows.steps,
                "steps_per_save": NEVER, "max_seq_length": LONGEST, "adapter_file": adapters, "beta": BETA}
    {"dpo": dpo, "grpo": grpo}[objective](model, tokenizer, reference, data, windows, settings)


def dpo(model, tokenizer, reference, data: Workload, windows: Windows, settings: dict) -> None:
    from mlx_lm_lora.trainer import dpo_trainer

    own = dpo_trainer.iterate_dpo_batches
    pairs = [{"chosen": p["prompt"] + p["chosen"], "rejected": p["prompt"] + p["rejected"],
              "chosen_prompt_length": len(p["prompt"]), "rejected_prompt_length": len(p["prompt"])}
             for p in data.pairs]

    left = enumerate(windows.all_steps)  # of all calls: it asks anew for batches in every step

    def batches(dataset, batch_size, max_seq_length, train=False):
        for step, chosen in left:
            windows.begin(step)
            yield from own([pairs[i] for i in chosen], batch_size, max_seq_length)

    dpo_trainer.iterate_dpo_batches = batches  # no argument of train_dpo, unlike train_grpo's
    dpo_trainer.train_dpo(model, reference, optimizer("dpo"), pairs, args=dpo_trainer.DPOTrainingArgs(**settings),
                          training_callback=reporter(windows))


def grpo(model, tokenizer, reference, data: Workload, windows: Windows, settings: dict) -> None:
    from mlx_lm_lora.trainer import grpo_trainer

    prompts = [(p["tokens"], [0], p["messages"][-1]["content"], "") for p in data.prompts]

    def batches(dataset, batch_size, max_seq_length, train):
        for step in range(len(windows.all_steps)):
            windows.begin(step)
            yield from grpo_trainer.iterate_grpo_batches(dataset, batch_size, max_seq_length)

    def reward(prompts, completions, answer, types=None) -> list[float]:
        return [workload.reward(text) for text in completions]

    # All tokens at temperature 1, as on the other sides; its own top-p and top-k would cost it a sort a token.
    args = grpo_trainer.GRPOTrainingArgs(**settings, group_size=SAMPLES, max_completion_length=NEW_TOKENS,
                                         epsilon=0.2, temperature=1.0, top_p=1.0, top_k=0)
    grpo_trainer.train_grpo(model, reference, tokenizer, optimizer("grpo"), prompts, reward_funcs=[reward], args=args,
                            iterate_batches=batches, training_callback=reporter(windows), end_answer_token="")
