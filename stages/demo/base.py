"""Train the demo's tokenizer and base model from nothing, to the same bytes for the same parameters.

Run by name (`make base`); what it makes is shipped in git as data/base, so it is no stage of the pipeline.
"""

from dataclasses import dataclass
from pathlib import Path

from mlx_lm.utils import load_tokenizer

from realign import paths
from realign.lake.atomic import atomic_directory
from realign.models import build, chat, tokenizer
from realign.models.batches import batch_of
from realign.models.chat import Encoded
from realign.models.progress import bar
from realign.objectives import sft
from realign.params import Count, LearningRate, PartShare, Positive, Rows, Share, Tokens
from realign.stage import Stage
from realign.train import checkpoint, loop
from realign.train.batches import plan
from stages.demo import corpus, initial

WINDOW_BATCHES = 64  # batches among which documents are sorted by length


@dataclass(frozen=True)
class Base:
    """`demo.base` in params.yaml."""

    seed: Count
    """Of first weights and corpus."""
    steps: Positive
    """Batches of the first cycle."""
    restarts: Count
    """Warm restarts of the schedule, for what the end of the corpus teaches."""
    restart_steps: Positive
    """Batches of each restart."""
    restart_learning_rate: LearningRate
    """Peak of AdamW's learning rate in a restart, a step."""
    batch_size: Rows
    """Documents a step."""
    learning_rate: LearningRate
    """Peak of AdamW's learning rate, a step."""
    warmup: PartShare
    """Share of the steps of a cycle in which the rate rises from 0."""
    weight_decay: Share
    """AdamW's, a step, times the rate."""
    checkpoint_every: Positive
    """Steps between two checkpoints that a killed run goes on from."""
    window: Tokens
    """Longest document, tokens."""
    vocabulary: Positive
    """Tokens."""
    subwords: Count
    """Tokens that are parts of rare words."""
    tokenizer_documents: Positive
    """Documents on which the vocabulary is counted."""
    hidden_size: Positive
    """Width of the model."""
    layers: Positive
    """Short convolution and attention in turn (LFM2, Liquid AI 2025)."""
    heads: Positive
    """Attention heads of a layer."""
    taps: Positive
    """Tokens that a convolution sees."""
    intermediate_size: Positive
    """Width of the feed-forward part."""


def config(p: Base) -> dict:
    """config.json of the model."""
    return {
        "architectures": ["Lfm2ForCausalLM"], "model_type": "lfm2", "hidden_size": p.hidden_size,
        "num_hidden_layers": p.layers, "layer_types": ["conv", "full_attention"] * (p.layers // 2),
        "num_attention_heads": p.heads, "num_key_value_heads": p.heads, "conv_L_cache": p.taps, "conv_bias": True,
        "block_dim": p.hidden_size, "block_ff_dim": p.intermediate_size, "block_auto_adjust_ff_dim": False,
        "block_multiple_of": 1, "block_ffn_dim_multiplier": 1.0, "vocab_size": p.vocabulary, "norm_eps": 1e-5,
        "rope_theta": 10000.0, "torch_dtype": "float32", "max_position_embeddings": 1024, "tie_word_embeddings": True,
        "pad_token_id": 0, "eos_token_id": tokenizer.SPECIAL.index(tokenizer.END_OF_TURN),
    }


def train_tokenizer(p: Base, folder: Path) -> None:
    """Count a vocabulary on the first documents of the corpus and on every word of the world."""
    texts = [f" {message['content']}" for document in corpus.documents(p.seed, p.tokenizer_documents, paths.TABLES)
             for message in document]
    trained = tokenizer.train([*corpus.vocabulary_text(paths.TABLES)] * 3 + texts, p.vocabulary, p.subwords)
    tokenizer.save(trained, folder, config(p)["max_position_embeddings"])


class Documents:
    """Batches of the endless corpus, `steps` of them after the `first`, made as they are needed: each is a function of
    the seed and its number."""

    def __init__(self, p: Base, tok, first: int, steps: int):
        self.p, self.tok, self.first, self.steps = p, tok, first, steps
        self.window: tuple[int, list, list] | None = None

    def __len__(self) -> int:
        return self.steps

    def figures(self) -> dict[str, float]:
        return {}

    def micro_batches(self, step: int) -> list[dict]:
        number, place = divmod(self.first + step, WINDOW_BATCHES)
        if self.window is None or self.window[0] != number:
            self.window = (number, *self._load(number))
        _, rows, order = self.window
        return [batch_of([rows[i] for i in order[place]])]

    def _load(self, number: int) -> tuple[list[Encoded], list]:
        size = WINDOW_BATCHES * self.p.batch_size
        documents = [corpus.document(self.p.seed, number * size + i, paths.TABLES) for i in range(size)]
        # The last turns of the few documents that outgrow the window are cut.
        rows = [Encoded(r.tokens[:self.p.window], r.mask[:self.p.window]) for r in chat.encode(self.tok, documents)]
        return rows, plan([len(r.tokens) for r in rows], self.p.batch_size, 1, number)


def cycles(p: Base) -> list[tuple[int, int, float]]:
    """First step, steps and peak learning rate of each cycle of the schedule: warm restarts (Loshchilov and Hutter
    2017, SGDR)."""
    restarts = [(p.steps + i * p.restart_steps, p.restart_steps, p.restart_learning_rate) for i in range(p.restarts)]
    return [(0, p.steps, p.learning_rate), *restarts]


def train(p: Base, output: Path, scratch: Path) -> list[dict]:
    """Train and write the model directory; the history of the last cycle."""
    with atomic_directory(output) as folder:
        train_tokenizer(p, folder)
        model = initial.create(config(p), p.seed)
        (folder / "config.json").write_text("{}")
        tok = load_tokenizer(folder)
        run_id = checkpoint.run_id(vars(p), (folder / "tokenizer.json").read_bytes())
        for cycle, (first, steps, rate) in enumerate(cycles(p), start=1):
            settings = loop.Settings(rate, warmup=p.warmup, weight_decay=p.weight_decay,
                                     checkpoint_every=p.checkpoint_every, log_every=100)
            state = loop.train(model, sft.loss, Documents(p, tok, first, steps), settings,
                               scratch=scratch / f"cycle-{cycle}", run_id=run_id, progress_bar=bar(f"base {cycle}"))
        build.save(model, config(p), folder, folder)
    return state.history


def run(here: Stage) -> str:
    p = here.params(Base)
    history = train(p, here.checkpoint, here.scratch)
    steps = sum(steps for _, steps, _ in cycles(p))
    return f"{steps} steps, loss {history[-1]['loss']:.3f}"
