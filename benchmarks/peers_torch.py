"""The arms of TRL on CPU torch: its trainers with their defaults, on the rows of each step in their order."""

import tempfile
import time
from pathlib import Path

from benchmarks import workload
from benchmarks.windows import Windows
from benchmarks.workload import BATCH, BETA, LONGEST, LORA, NEW_TOKENS, SAMPLES, Workload


def run(tool: str, objective: str, folder: Path, data: Workload, windows: Windows) -> None:
    """Train window by window; the held-out loss before and after."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    windows.say(gflops=gflops(), loss=heldout_loss(model, data.held_out))
    with tempfile.TemporaryDirectory() as scratch:
        made = {"output_dir": scratch, "max_steps": len(windows.all_steps), **SETTINGS,
                "learning_rate": workload.RATES[objective]}
        trainer = TRAINERS[objective](model, tokenizer, data, windows, made)
        trainer.add_callback(clock(windows))
        trainer.train()
    windows.say(loss=heldout_loss(trainer.model, data.held_out))


SETTINGS = {
    "per_device_train_batch_size": BATCH, "lr_scheduler_type": "constant", "weight_decay": workload.DECAY,
    "adam_beta2": workload.BETA2, "use_cpu": True, "bf16": False, "gradient_checkpointing": False, "report_to": [],
    "logging_strategy": "no", "save_strategy": "no", "disable_tqdm": True, "seed": 0,
}


def clock(windows: Windows):
    """A callback between the steps: making a batch belongs to the window."""
    from transformers import TrainerCallback

    class Clock(TrainerCallback):
        def on_train_begin(self, *_, **__) -> None:
            windows.begin(0)

        def on_step_end(self, args, state, control, **_) -> None:
            windows.end(state.global_step)
            if state.global_step < len(windows.all_steps):
                windows.begin(state.global_step)

    return Clock()


def in_order(trainer: type) -> type:
    """The trainer without shuffling, and with datasets that are tokens already."""
    from torch.utils.data import SequentialSampler

    class InOrder(trainer):
        def _get_train_sampler(self, dataset=None):
            return SequentialSampler(dataset if dataset is not None else self.train_dataset)

        def _prepare_dataset(self, dataset, *_, **__):
            return dataset

    return InOrder


def sft(model, tokenizer, data: Workload, windows: Windows, made: dict, adapter=None):
    import trl
    from datasets import Dataset

    rows = [data.rows[i] for step in windows.all_steps for i in step]
    dataset = Dataset.from_list([{"input_ids": row, "labels": row} for row in rows])
    return in_order(trl.SFTTrainer)(
        model, args=trl.SFTConfig(max_length=LONGEST, packing=False, **made), processing_class=tokenizer,
        train_dataset=dataset, peft_config=adapter)


def lora(model, tokenizer, data: Workload, windows: Windows, made: dict):
    from peft import LoraConfig

    adapter = LoraConfig(r=LORA["rank"], lora_alpha=LORA["scale"] * LORA["rank"], lora_dropout=LORA["dropout"],
                         target_modules="all-linear", task_type="CAUSAL_LM")
    return sft(model, tokenizer, data, windows, made, adapter)


def dpo(model, tokenizer, data: Workload, windows: Windows, made: dict):
    import trl
    from datasets import Dataset

    pairs = [data.pairs[i] for step in windows.all_steps for i in step]
    dataset = Dataset.from_list([{f"{side}_ids": tokens for side, tokens in pair.items()} for pair in pairs])
    return in_order(trl.DPOTrainer)(
        model, args=trl.DPOConfig(max_length=LONGEST, beta=BETA, **made), processing_class=tokenizer,
        train_dataset=dataset)


def grpo(model, tokenizer, data: Workload, windows: Windows, made: dict):
    import trl
    from datasets import Dataset

    def reward(completions, completion_ids, **_) -> list[float]:
        windows.tokens += sum(map(len, completion_ids))
        return [workload.reward(turns[-1]["content"]) for turns in completions]

    made = made | {"per_device_train_batch_size": BATCH * SAMPLES}
    config = trl.GRPOConfig(num_generations=SAMPLES, max_completion_length=NEW_TOKENS, beta=BETA, temperature=1.0,
                            loss_type="grpo", **made)
    return trl.GRPOTrainer(model, reward_funcs=reward, args=config, processing_class=tokenizer,
                           train_dataset=Dataset.from_list([{"prompt": p["messages"]} for p in data.prompts]))


TRAINERS = {"sft": sft, "lora": lora, "dpo": dpo, "grpo": grpo}


def heldout_loss(model, rows: list[list[int]]) -> float:
    """Mean nats a token of rows that are not trained on."""
    import torch

    model.eval()
    total = 0.0
    with torch.no_grad():
        for row in rows:
            tokens = torch.tensor([row])
            logits = model(tokens[:, :-1]).logits[0]
            total += torch.nn.functional.cross_entropy(logits, tokens[0, 1:], reduction="sum").item()
    return total / sum(len(row) - 1 for row in rows)


def gflops() -> float:
    """Speed of a product of two 1024 × 1024 float32 matrices, best of three."""
    import torch

    a = torch.randn(1024, 1024)
    seconds = []
    for _ in range(3):
        started = time.perf_counter()
        a @ a
        seconds.append(time.perf_counter() - started)
    return 2 * 1024**3 / min(seconds) / 1e9
