"""Stage 3: a reward model on the pairs, its best checkpoint by validation accuracy."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from realign.evaluate.preferences import ranking_accuracy
from realign.lake.atomic import atomic_directory
from realign.lake.schemas import PAIRS
from realign.lake.table import small_rows
from realign.metrics import exact
from realign.models import build, heads
from realign.objectives import reward
from realign.params import NonNegative, Rate
from realign.stage import Stage
from realign.train.checkpoint import Progress
from realign.train.fit import fit
from realign.train.settings import Training
from stages.common.data import Model


@dataclass(frozen=True)
class RewardModel(Training):
    """How the reward model is trained."""

    trunk: Model
    """What it stands on: the SFT model, or a separate, smaller one."""
    certainty: Rate
    """Log-odds, for a gap of 1 in the scores, that the better side is the better one: labels are soft."""
    typicality: NonNegative
    """Of the reward, for each nat by which an answer's tokens are on average likelier, by the trunk's own language
    model, than what it would sample; 0 leaves it out."""


def run(here: Stage) -> str:
    p = here.params(RewardModel)
    base = p.trunk.watched(p.trunk.name, f"{here.workflow}.{here.name}.trunk")
    trunk, tokenizer, config = build.load(base)
    rows = small_rows(here.of("preference_data").dataset("pairs"), PAIRS)
    model = heads.ScalarModel(trunk, p.typicality)
    progress = learn(model, tokenizer, rows, p, build.fingerprint(base), here.scratch / "checkpoint")
    with atomic_directory(here.checkpoint) as folder:
        heads.save_scalar(model, config, build.folder(base), folder)
    pairs = reward.encode_pairs(tokenizer, rows)
    accuracy = {split: reward.accuracy(model, pairs[split]) for split in ("train", "validation")}
    here.report({"train_accuracy": accuracy["train"], "validation_accuracy": accuracy["validation"],
                 "validation_loss": reward.mean_loss(*reward.values(model, pairs["validation"])),
                 "best_step": exact(progress.best_step), "pairs": {s: exact(len(pairs[s])) for s in pairs}},
                progress.history)
    return f"validation accuracy {accuracy['validation'].value:.3f}, train {accuracy['train'].value:.3f}"


def learn(model: heads.ScalarModel, tokenizer, rows: Sequence[dict], p: RewardModel, origin: str,
          scratch: Path) -> Progress:
    """Train in place and leave the model at its best validation accuracy, ties by the lower loss; how it went."""
    pairs = reward.encode_pairs(tokenizer, rows)

    def validate(tuned) -> dict[str, float]:
        chosen, rejected = reward.values(tuned, pairs["validation"])
        right, loss = ranking_accuracy(chosen, rejected).value, reward.mean_loss(chosen, rejected).value
        return {"objective": (1 - right) + 1e-3 * loss, "accuracy": right, "loss": loss}

    gaps = [row["chosen_score"] - row["rejected_score"] for row in rows if row["split"] == "train"]
    doubted = [(*pair, doubt) for pair, doubt in zip(pairs["train"], reward.doubts(gaps, p.certainty), strict=True)]
    return fit(model, reward.REWARD, doubted, p, scratch=scratch, origin=origin, validate=validate)
