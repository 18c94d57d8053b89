"""The common workload: one small random Llama and, from the demo's world, rows, pairs and prompts for it.

The parent writes it into a folder, every arm reads it there: the same weights, the same tokens, and for each step of
each window the same numbers of rows, so that all tools train on the same batches.
"""

import json
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path

BATCH = 16  # rows, pairs or prompts a step
LONGEST = 256  # tokens a row
SAMPLES, NEW_TOKENS = 4, 64  # answers a prompt, and their length at most
HELD_OUT = 64  # rows
CHATS = 512  # to begin a training with
RATES = {"sft": 1e-3, "lora": 1e-3, "dpo": 1e-4, "grpo": 1e-5, "ppo": 1e-5}  # constant, on all sides
BETA2, DECAY = 0.95, 0.01  # of AdamW
LORA = {"rank": 8, "scale": 20.0, "dropout": 0.0}  # on every linear layer: mlx-lm's defaults
BETA = 0.1  # of DPO, and weight of the KL to the reference
FIRST = 1_000_000  # document of the corpus
CONFIG = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 128, "num_hidden_layers": 4,
    "num_attention_heads": 4, "num_key_value_heads": 4, "head_dim": 32, "intermediate_size": 384, "vocab_size": 1024,
    "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "max_position_embeddings": 1024, "hidden_act": "silu",
    "tie_word_embeddings": True, "attention_bias": False, "mlp_bias": False,
}


@dataclass(frozen=True)
class Workload:
    """Token ids of rows and of rows held out; chats and pairs as they were written; the plan by objective: windows of
    steps of row numbers."""

    rows: list[list[int]]
    held_out: list[list[int]]
    chats: list[list[dict]]
    pairs: list[dict]  # prompt, chosen, rejected: token ids
    prompts: list[dict]  # tokens, messages
    plan: dict[str, list[list[list[int]]]]


def make(folder: Path, steps: dict[str, int], windows: int) -> Workload:
    """Write model, tokenizer and data for so many steps a window into `folder`; MLX must have been started."""
    from mlx_lm.utils import load_tokenizer

    from realign import paths
    from realign.models import build, chat, tokenizer
    from stages.demo import corpus

    rows, pairs = (steps[name] * BATCH for name in ("rows", "pairs"))
    count = max(rows + HELD_OUT, 4 * pairs, CHATS)
    chats = [corpus.document(0, FIRST + i, paths.TABLES) for i in range(count)]
    texts = (f" {message['content']}" for messages in chats for message in messages)
    tokenizer.save(tokenizer.train(texts, CONFIG["vocab_size"], subwords=96), folder, LONGEST * 4)
    build.save(build.create(CONFIG, seed=0), CONFIG, folder, folder)
    reader = load_tokenizer(folder)
    encoded = [row.tokens[:LONGEST] for row in chat.encode(reader, chats[:rows + HELD_OUT])]
    sides = make_pairs(reader, chats)[:pairs]
    plan = {"rows": plan_of([len(row) for row in encoded[:rows]], windows),
            "pairs": plan_of([len(p["prompt"]) + max(len(p["chosen"]), len(p["rejected"])) for p in sides], windows)}
    made = Workload(encoded[:rows], encoded[rows:], chats[:CHATS], sides, make_prompts(reader, chats), plan)
    (folder / "workload.json").write_text(json.dumps(asdict(made)), encoding="utf-8")
    return made


def make_pairs(tokenizer, chats: list[list[dict]]) -> list[dict]:
    """Of chats of one question: its answer is chosen, that of the next such chat rejected; both fit the window."""
    from realign.models import chat

    asked = [messages for messages in chats if len(messages) == 2]
    found = []
    for (question, answer), (_, other) in pairwise(asked):
        prompt = chat.prompt_tokens(tokenizer, [question])
        chosen, rejected = (row.tokens for row in chat.encode(tokenizer, [[question, answer], [question, other]]))
        if max(len(chosen), len(rejected)) <= LONGEST:
            found.append({"prompt": prompt, "chosen": chosen[len(prompt):], "rejected": rejected[len(prompt):]})
    return found


def make_prompts(tokenizer, chats: list[list[dict]]) -> list[dict]:
    """The same prompts for every step: conversations that stop at their third question."""
    from realign.models import chat

    long = [messages[:5] for messages in chats if len(messages) >= 6]
    made = [{"tokens": chat.prompt_tokens(tokenizer, messages), "messages": messages} for messages in long]
    return [prompt for prompt in made if len(prompt["tokens"]) <= LONGEST - NEW_TOKENS][:BATCH]


def plan_of(lengths: list[int], windows: int) -> list[list[list[int]]]:
    """Each window one pass over the rows, rows of like length together, in the order that the project trains them."""
    from realign.train.batches import plan

    steps = [step.tolist() for step in plan(lengths, BATCH, windows, seed=0)]
    each = len(steps) // windows
    return [steps[i:i + each] for i in range(0, len(steps), each)]


def read(folder: Path) -> Workload:
    """What `make` wrote."""
    return Workload(**json.loads((folder / "workload.json").read_text(encoding="utf-8")))


def reward(text: str) -> float:
    """What every tool pays for an answer: the share of its characters that are vowels."""
    return sum(text.count(vowel) for vowel in "aeiou") / max(len(text), 1)
