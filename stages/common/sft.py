"""Supervised fine-tuning on good answers: the stage `sft` of several workflows.

A workflow that has the demo's data and the common knobs takes the model that the demo's own stage trained for all of
them; one with data or knobs of its own trains its own.
"""

import json
import shutil
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from realign import params, paths
from realign.curate.contamination import decontamination
from realign.curate.rejected import told
from realign.errors import UserError
from realign.evaluate import losses
from realign.files import read_json
from realign.ingest.preferences import Place
from realign.lake.atomic import atomic_directory
from realign.lake.schemas import CHATS, PAIRS, REJECTED
from realign.lake.table import frame, small_rows, write
from realign.metrics import Metric, exact
from realign.models import adapters, build, card, chat
from realign.models.adapters import Method
from realign.models.chat import Encoded
from realign.models.export import average, export
from realign.objectives.sft import SFT
from realign.params import PositiveShare, Tokens
from realign.stage import Stage
from realign.train.checkpoint import Progress
from realign.train.fit import fit
from realign.train.ledger import TOO_LONG, Ledger, settle
from realign.train.settings import Training
from stages.common import data, given, kept

COMMON = "common.sft"  # section of params.yaml
SHARED = paths.DEMO / "sft"  # what the demo's own stage makes: the model, and how its training went
CHECKED = 16  # held-out chats on which an exported adapter is compared with what was trained


@dataclass(frozen=True)
class Sft(Training):
    """Supervised fine-tuning: `common.sft`, and in `<workflow>.sft` what a workflow has otherwise."""

    window: Tokens
    """Tokens; longer chats are rejected with a reason."""
    average: PositiveShare
    """Of the way from the base to what was trained, weight by weight, at which the model is kept (Wortsman 2022, Lin
    2024); 1: what was trained."""
    method: Method
    """What is trained: every weight, or adapters."""


@dataclass(frozen=True)
class Chats:
    """What there is to train on: encoded rows by split, how many rows were read, those left out with the reason, the
    share that held no evaluation row, and the ledger of the training split."""

    rows: dict[str, list[Encoded]]
    read: int
    rejected: list[dict]
    decontamination: Metric
    ledger: Ledger


def run(here: Stage) -> str:
    """Take or train the workflow's SFT model, and measure what it does better and what worse than the base."""
    p, base = here.params(Sft, over=COMMON), data.base_model()
    model, tokenizer, config = build.load(base)
    require_window(p, config, base)
    chats = given_chats(here, p, tokenizer) if not data.settings(here).demo else demo_chats(p, tokenizer)
    held_out = chats.rows["validation"]
    before, counts = losses.row_losses(model, held_out)
    if not np.isfinite(before).all():
        raise UserError(f"its loss on held-out chats is {before.sum() / counts.sum()}", where=base,
                        expected="a finite number before anything is trained",
                        fix="choose another base: its weights, or what it computes in between, are beyond float32")
    with atomic_directory(here.checkpoint) as folder:
        if data.settings(here).demo and p == params.load(COMMON, Sft):
            model, progress = _taken(folder)
        else:
            model, progress = train(p, model, config, chats.rows, base, folder, here.scratch)
        card.write(folder, base, here.workflow, here.name)
    write(frame(chats.rejected, REJECTED), here.dataset("rejected"), REJECTED)
    measured = kept.measured(here, model, tokenizer)
    after, _ = losses.row_losses(model, held_out)
    trained_on = sum(map(len, chats.rows.values()))
    metrics = {
        "heldout_loss": losses.per_token(after, counts), "base_heldout_loss": losses.per_token(before, counts),
        "heldout_loss_drop": losses.drop(before, after, counts), **measured, "decontamination": chats.decontamination,
        "rows": {"in": exact(chats.read), "kept": exact(trained_on), "rejected": exact(len(chats.rejected))},
        "ledger": {name: exact(found) for name, found in chats.ledger.figures().items()},
        "best_step": exact(progress.best_step),
    }
    here.report(metrics, progress.history)
    return (f"loss {metrics['heldout_loss'].value:.3f} (base {metrics['base_heldout_loss'].value:.3f}), "
            f"{trained_on} chats"
            + told(Counter(row["reason"] for row in chats.rejected), chats.read, here.dataset("rejected")))


def require_window(p: Sft, config: Mapping, base: str) -> None:
    """UserError where the window is longer than the model's."""
    if p.window > build.window(config):
        raise UserError(f"window is {p.window} tokens", where=f"{paths.PARAMS}: {COMMON}",
                        expected=f"at most {build.window(config)}, the window of {base}", fix="lower it")


def demo_chats(p: Sft, tokenizer) -> Chats:
    """The chats of the demo world."""
    chats = small_rows(paths.WORLD / "sft.parquet", CHATS)
    return _encoded(chats, [(row["source"], at) for at, row in enumerate(chats, 1)], p, tokenizer)


def given_chats(here: Stage, p: Sft, tokenizer) -> Chats:
    """The chosen sides of the pairs of a file, which go into the lake; left out are rows that fail a check, and pairs
    of which a side is too long."""
    found = given.pairs(here, tokenizer, p.window, p.seed)
    chats = _encoded(given.chosen_chats(found.pairs), found.places, p, tokenizer)
    dropped = {(row["source"], row["position"]) for row in chats.rejected}
    pairs = [pair for pair, place in zip(found.pairs, found.places, strict=True) if place not in dropped]
    write(frame(pairs, PAIRS), here.dataset("pairs"), PAIRS)
    return replace(chats, read=len(found.pairs) + len(found.rejected), rejected=found.rejected + chats.rejected,
                   decontamination=found.decontamination)


def train(p: Sft, model, config: dict, rows: Mapping[str, list[Encoded]], base: str, folder: Path,
          scratch: Path) -> tuple[object, Progress]:
    """Train the base model and write it into an existing folder; the model as it stands there, and how it went."""
    held_out = rows["validation"]

    def validate(tuned) -> dict[str, float]:
        sums, counts = losses.row_losses(tuned, held_out)
        return {"objective": float(sums.sum() / counts.sum())}

    config = adapters.prepare(model, config, p.method, p.seed)
    progress = fit(model, SFT, rows["train"], p, scratch=scratch / "checkpoint", origin=build.fingerprint(base),
                   validate=validate)
    tuned = export(model, config, p.method, base, folder, [r.tokens for r in held_out[:CHECKED]])
    return (tuned if p.average == 1 else average(folder, base, p.average)), progress


def keep(progress: Progress, folder: Path) -> None:
    """Write how a training went into an existing folder."""
    told = {key: value for key, value in asdict(progress).items() if key in ("step", "best", "best_step", "history")}
    (folder / "training.json").write_text(json.dumps(told, sort_keys=True) + "\n", encoding="utf-8")


def _taken(folder: Path) -> tuple[object, Progress]:
    """The model that the demo's own stage trained, copied into an existing folder, and how its training went."""
    shutil.copytree(SHARED / "model", folder, dirs_exist_ok=True)
    return build.load(str(folder))[0], Progress(**read_json(SHARED / "training.json"))


def _encoded(chats: list[dict], places: list[Place], p: Sft, tokenizer) -> Chats:
    encoded, contaminated = chat.encode(tokenizer, [c["messages"] for c in chats]), data.contaminated(chats)
    unfit = [given.left_out(chats[at], places[at], "contaminated", what) for at, what in contaminated.items()]
    rows, ledgers = {}, {}
    for split in ("train", "validation"):
        those = [i for i, c in enumerate(chats) if c["split"] == split and i not in contaminated]
        try:
            rows[split], ledgers[split] = settle([encoded[i] for i in those], p.window, "drop")
        except UserError as error:
            raise UserError(f"no chat of the split {split} can be trained on: {str(error).splitlines()[0]}",
                            where=f"{paths.PARAMS}: {COMMON}.window", expected=f"chats of at most {p.window} tokens",
                            fix="raise it, or give shorter chats") from error
        for at, reason in ledgers[split].dropped():
            row, place, tokens = chats[those[at]], places[those[at]], len(encoded[those[at]].tokens)
            unfit.append(given.too_long(row, place, tokens, p.window) if reason == TOO_LONG
                         else given.left_out(row, place, reason, "the answer has no token to learn"))
    return Chats(rows, len(chats), unfit, decontamination(len(contaminated), len(chats)), ledgers["train"])
