"""A project of somebody's own: their base model, their labelled pairs, their evaluation rows, and nothing of the demo.

The base model is trained here in seconds. It knows the colour and the place of every tool, and describes tools in
words that it draws at random; the pairs prefer descriptions with better words. So SFT and RL teach what the evaluation
rows do not ask, in answers of a kind that the model gives already.
"""

import json
import shutil
from itertools import product
from pathlib import Path
from random import Random

from mlx_lm.utils import load_tokenizer

from realign.lake.schemas import CHATS, row_id
from realign.lake.table import frame, write
from realign.models import build, chat, tokenizer
from realign.models.batches import batch_of
from realign.objectives import sft
from realign.train import loop
from realign.train.batches import RowBatches
from tests.workflows import small

COLOURS = ("amber", "black", "green", "ivory", "khaki", "mauve", "olive", "white")
ROOMS = ("attic", "cellar", "garage", "hall", "kitchen", "larder", "porch", "shed")
GOOD = ("clean", "fresh", "light", "quick", "sharp", "solid")
BAD = ("blunt", "dirty", "dusty", "loose", "rusty", "stale")
PARTS = ("blade", "crank", "frame", "grip", "hinge", "lever", "screw", "wheel")
TOOLS = tuple(a + b for a, b in product(
    ("bar", "den", "fol", "gim", "kes", "lom", "mur", "nav", "pel", "ros"),
    ("dak", "fen", "gol", "hul", "mip", "nur", "pem", "sel", "tob", "vix", "wem", "yar")))
SUITES = {"evaluation": TOOLS[:105], "reserve": TOOLS[105:110], "sealed": TOOLS[110:115], "development": TOOLS[115:]}
PAIRS = 1020  # the gate of preference_data asks for 1,000
CONFIG = {
    "model_type": "llama", "hidden_size": 64, "num_hidden_layers": 2, "intermediate_size": 192,
    "num_attention_heads": 4, "num_key_value_heads": 4, "head_dim": 16, "rms_norm_eps": 1e-5, "rope_theta": 10000.0,
    "max_position_embeddings": 96, "tie_word_embeddings": True,
}
KNOBS = {
    "model.base": {"name": "base", "files": "base"},
    "common.sft": {"epochs": 1, "batch_size": 32, "learning_rate": 0.0003, "evaluate_every": 20,
                   "checkpoint_every": 100, "window": 96},
    "srf.data": {"source": "pairs.jsonl"},
    "srf.reward_model": {"typicality": 0.0, "epochs": 2, "batch_size": 16, "evaluate_every": 30,
                         "checkpoint_every": 100},  # the base has never seen an opening: its opinion is of wording
    "srf.rl": {"rollouts": 5, "prompts_per_rollout": 64, "minibatch": 32, "epochs": 2, "learning_rate": 0.0003,
               "max_tokens": 16, "heldout_prompts": 120},
    "srf.iterate": {"rounds": 1, "rollouts": 1, "prompts": 8},
    "srf.evaluate": {"task": ["colour", "place"], "prompts": 110, "max_tokens": 16},
}


def make(folder: Path) -> Path:
    """What such a user brings: a base model, pairs.jsonl, own.parquet in each folder of suites, knobs in
    params.yaml."""
    facts = _facts()
    _train_base(folder / "base", facts)
    lines = [json.dumps(pair) for pair in pairs()]
    (folder / "pairs.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    for suite, tools in SUITES.items():
        rows = [row for row, _ in facts if row["slice"] in tools]
        write(frame([row | {"slice": "tools"} for row in rows], CHATS), folder / "data" / suite / "own.parquet", CHATS)
    shutil.copy(small.ROOT / "params.yaml", folder)
    (folder / "expectations").mkdir()
    shutil.copy(small.ROOT / "expectations/remedies.json", folder / "expectations")
    for part in ("expectations/srf", "stages/srf"):  # without dvc.lock, which speaks of another run
        shutil.copytree(small.ROOT / part, folder / part,
                        ignore=shutil.ignore_patterns("dvc.lock", "*.py", "__pycache__"))
    small.set_params(folder, KNOBS)
    return folder


def pairs() -> list[dict]:
    """Labelled pairs: two descriptions of a tool as the base gives them, the one with more good words chosen."""
    rng, found = Random(2), []
    while len(found) < PAIRS:
        prompt = _ask(rng)
        better, worse = sorted((_description(rng) for _ in range(2)), key=_goodness, reverse=True)
        if _goodness(better) > _goodness(worse):
            found.append({"prompt": prompt, "chosen": better, "rejected": worse})
    return found


def _goodness(text: str) -> int:
    return sum(word in text for word in GOOD)


def _ask(rng: Random) -> str:
    return f"Describe the {rng.choice(TOOLS)} beside the {rng.choice(TOOLS)}."


def _description(rng: Random) -> str:
    first, second = rng.sample(PARTS, 2)
    return f"It has a {rng.choice(GOOD + BAD)} {first} and a {rng.choice(GOOD + BAD)} {second}."


def _facts() -> list[tuple[dict, str]]:
    """Rows of every suite, the tool as their slice, with the answers that the base model learns."""
    rng, found = Random(1), []
    for tool in TOOLS:
        for capability, values, question, answer in (
                ("colour", COLOURS, "What colour is the {}?", "The {} is {}."),
                ("place", ROOMS, "Where is the {}?", "The {} is in the {}.")):
            value = rng.choice(values)
            asked = [{"role": "user", "content": question.format(tool)}]
            reference = {"answer": value, "rivals": [v for v in values if v != value], "subject": [tool]}
            found.append(({"row_id": row_id(asked), "messages": asked, "capability": capability, "slice": tool,
                           "reference": json.dumps(reference, sort_keys=True), "split": "evaluation", "source": "own"},
                          answer.format(tool, value)))
    return found


def _train_base(folder: Path, facts: list[tuple[dict, str]]) -> None:
    rng = Random(3)
    described = [[{"role": "user", "content": _ask(rng)}, {"role": "assistant", "content": _description(rng)}]
                 for _ in range(500)]
    known = [chat.with_answer(row, answer) for row, answer in facts]
    folder.mkdir(parents=True)
    texts = [f" {message['content']}" for dialogue in [*known, *described] for message in dialogue]
    trained = tokenizer.train(texts, 700, 20)
    tokenizer.save(trained, folder, CONFIG["max_position_embeddings"])
    (folder / "config.json").write_text("{}")
    config = CONFIG | {"vocab_size": trained.get_vocab_size()}
    model = build.create(config, 0)
    rows = chat.encode(load_tokenizer(folder), [*known * 6, *described])
    batches = RowBatches.of(rows, batch_of, sft.weigh, 24, 5, 0)
    settings = loop.Settings(0.006, warmup=0.05, weight_decay=0.01, checkpoint_every=10**6, log_every=50)
    loop.train(model, sft.loss, batches, settings, scratch=folder.parent / "scratch", run_id="own base")
    build.save(model, config, folder, folder)
