"""Stage 1 of SRF: fine-tune the base on good answers, and record the baseline that everything later is held to."""

import sys
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

from realign import params, paths, stage
from realign.errors import UserError
from realign.models.adapters import Method
from stages.model import base as chosen_base
from stages.srf import given, source

if TYPE_CHECKING:
    from realign.train.ledger import Ledger

CHECKED = 16  # held-out chats on which an exported adapter is compared with what was trained


@dataclass(frozen=True)
class Sft:
    """`srf.sft` in params.yaml."""

    seed: int
    epochs: int
    batch_size: int
    learning_rate: float
    warmup: float
    weight_decay: float
    evaluate_every: int
    checkpoint_every: int
    patience: int
    window: int
    method: Method


def run() -> str:
    from realign.lake.atomic import atomic_directory
    from realign.lake.schemas import RECORDS, REJECTED
    from realign.lake.table import write_table
    from realign.metrics import exact
    from realign.models import adapters, build
    from realign.models.export import export

    p, data = params.load("srf.sft", Sft), source.settings()
    base = chosen_base()
    model, tokenizer, config = build.load(base)
    if p.window > build.window(config):
        raise UserError(f"srf.sft.window is {p.window} tokens", where="params.yaml",
                        expected=f"at most {build.window(config)}, the window of {base}", fix="lower it")
    read, chats, rejected = _chats(p, data, tokenizer)
    rows, unfit, ledger = _encode(tokenizer, chats, p.window)
    config = adapters.prepare(model, config, p.method, p.seed)
    state, before, after, counts = _train(p, model, tokenizer, rows, base)
    with atomic_directory(paths.checkpoint("srf", "sft")) as folder:
        model = export(model, config, p.method, base, folder, [r.tokens for r in rows["validation"][:CHECKED]])
    write_table(rejected + unfit, paths.dataset("srf", "sft", "rejected"), REJECTED)
    answered = _baseline(model, tokenizer)
    write_table(answered, paths.dataset("srf", "sft", "records"), RECORDS)

    from realign.evaluate import capabilities, losses

    kept = sum(map(len, rows.values()))
    dropped = len(rejected) + len(unfit)
    metrics = {
        "heldout_loss": losses.per_token(after, counts), "base_heldout_loss": losses.per_token(before, counts),
        "heldout_loss_drop": losses.drop(before, after, counts), "capability": capabilities.accuracy(answered),
        "rows": {"in": exact(read), "kept": exact(kept), "rejected": exact(dropped)},
        "ledger": {name: exact(found) for name, found in ledger.figures().items()},
        "best_step": exact(state.best_step),
    }
    stage.write_metrics("srf", "sft", metrics, state.history)
    return f"loss {metrics['heldout_loss'].value:.3f} (base {metrics['base_heldout_loss'].value:.3f}), {kept} chats"


def _chats(p: Sft, data: source.Data, tokenizer) -> tuple[int, list[dict], list[dict]]:
    """How many rows were read, the chats to train on, and the rows of a file that are no good (among them pairs whose
    rejected side is too long)."""
    from realign.lake.schemas import CHATS, PAIRS
    from realign.lake.table import read_rows, write_table

    if source.is_world(data):
        chats = read_rows(paths.WORLD / "sft.parquet", CHATS)
        return len(chats), chats, []
    pairs, rejected = given.pairs(data, p.seed)
    fitting, too_long = given.fitting(pairs, tokenizer, p.window)
    write_table(fitting, paths.dataset("srf", "sft", "pairs"), PAIRS)
    return len(pairs) + len(rejected), given.chosen_chats(fitting), rejected + too_long


def _encode(tokenizer, chats: list[dict], window: int) -> tuple[dict[str, list], list[dict], "Ledger"]:
    """Encoded rows by split; the chats that cannot be trained on, with the reason; the ledger of the training split."""
    from realign.curate.rejected import reject
    from realign.models import chat
    from realign.train.ledger import TOO_LONG, settle

    encoded = chat.encode(tokenizer, [c["messages"] for c in chats])
    rows, rejected, ledgers = {}, [], {}
    for split in ("train", "validation"):
        places = [i for i, c in enumerate(chats) if c["split"] == split]
        try:
            rows[split], ledgers[split] = settle([encoded[i] for i in places], window, "drop")
        except UserError as error:
            raise UserError(f"no chat of the split {split} can be trained on: {str(error).splitlines()[0]}",
                            where="srf.sft.window", expected=f"chats of at most {window} tokens",
                            fix="raise it, or give shorter chats") from error
        for at, reason in ledgers[split].dropped():
            chat_, tokens = chats[places[at]], len(encoded[places[at]].tokens)
            rejected.append(given.too_long(chat_, places[at] + 1, tokens, window) if reason == TOO_LONG else
                            reject(chat_, places[at] + 1, reason, "the answer has no token to learn"))
    return rows, rejected, ledgers["train"]


def _train(p: Sft, model, tokenizer, rows: dict[str, list], base: str):
    """Train in place; the run's history and the held-out losses before and after, row by row."""
    from realign.evaluate import losses
    from realign.models import build
    from realign.train import checkpoint, loop, memory, sft
    from realign.train.progress import bar

    pad = build.pad_token(tokenizer)
    held_out = rows["validation"]
    before, counts = losses.row_losses(model, held_out, pad)

    def validate(tuned) -> dict[str, float]:
        sums, _ = losses.row_losses(tuned, held_out, pad)
        return {"objective": float(sums.sum() / counts.sum())}

    batches = sft.SftBatches.of(rows["train"], p.batch_size, p.epochs, p.seed, pad)
    fit = memory.fit(model, sft.loss, batches.heaviest, p.batch_size)
    print(fit, file=sys.stderr)
    batches = replace(batches, micro=fit.micro)
    settings = loop.Settings(p.learning_rate, p.warmup, weight_decay=p.weight_decay, patience=p.patience,
                             evaluate_every=p.evaluate_every, checkpoint_every=p.checkpoint_every)
    mark = checkpoint.fingerprint(asdict(p), build.fingerprint(base), [r.tokens for r in rows["train"]])
    state = loop.train(model, sft.loss, batches, settings, scratch=paths.run_log("srf", "sft") / "checkpoint",
                       mark=mark, validate=validate, progress_bar=bar("sft"))
    after, _ = losses.row_losses(model, held_out, pad)
    return state, before, after, counts


def _baseline(model, tokenizer) -> list[dict]:
    from realign.evaluate import capabilities

    chats = source.evaluation_rows()
    return capabilities.records(chats, capabilities.greedy(model, tokenizer, chats))


if __name__ == "__main__":
    stage.main("srf", "sft", run)
