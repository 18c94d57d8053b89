"""Stage 2: several responses a prompt, scored into pairs; or the pairs of a file, checked row by row."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from realign import paths
from realign.curate.decontaminate import decontamination, index_evaluation
from realign.curate.pairs import forged, pair
from realign.curate.quality import check_rows, data_quality
from realign.curate.splits import with_splits
from realign.curate.text import pair_texts
from realign.errors import UserError
from realign.evaluate import responses
from realign.lake.schemas import PAIRS, REJECTED
from realign.lake.table import write_table
from realign.metrics import exact, mean
from realign.models import build
from realign.params import Count, OpenShare, Positive, Share, Temperatures
from realign.stage import Stage
from stages.common import data


@dataclass(frozen=True)
class PreferenceData:
    """How responses are sampled and paired."""

    seed: Count
    """Of what is sampled, and of the split."""
    prompts: Positive
    """Prompts that are sampled from."""
    temperatures: Temperatures
    """One response at each."""
    max_tokens: Positive
    """Longest response, tokens."""
    least_gap: Share
    """Of the scores (0 to 1) between the sides of a pair."""
    pairs_per_prompt: Positive
    """Pairs at most."""
    validation: OpenShare
    """Share of prompts that are held out."""

    @property
    def shares(self) -> dict[str, float]:
        """Of prompts, by split."""
        return {"train": 1 - self.validation, "validation": self.validation}


def run(here: Stage) -> str:
    p, demo = here.params(PreferenceData), data.settings(here).demo
    found = _sampled(here, p) if demo else data.pairs(here)
    index = index_evaluation((row["row_id"], row["messages"][-1]["content"]) for row in data.evaluation_rows())
    kept, rejected = check_rows(found, pair_texts, PAIRS, index=index)
    if demo:
        kept = with_splits(kept, lambda row: row["prompt_id"], p.shares, p.seed)
    write_table(kept, here.dataset("pairs"), PAIRS)
    write_table(rejected, here.dataset("rejected"), REJECTED)
    types = sorted({row["preference_type"] for row in kept})
    gap = mean([row["chosen_score"] - row["rejected_score"] for row in kept])
    here.report({
        "preference_gap": gap, "pairs": exact(len(kept)), "data_quality": data_quality(len(kept), len(found)),
        "decontamination": decontamination(sum(row["reason"] == "contaminated" for row in rejected), len(found)),
        "pairs_by_type": {t: exact(sum(row["preference_type"] == t for row in kept)) for t in types},
        "rows": {"in": exact(len(found)), "kept": exact(len(kept)), "rejected": exact(len(rejected))},
    })
    return f"{len(kept)} pairs, gap {gap.value:.2f}, {len(rejected)} rejected"


def fresh(here: Stage, model: Path, chats: Sequence[dict], p: PreferenceData, seed: int) -> list[dict]:
    """Pairs of the responses that the model of a directory gives to the chats, and of the best of these with one value
    forged; in no split yet."""
    policy, tokenizer, _ = build.load(str(model))
    sampled = responses.several(policy, tokenizer, chats, p.temperatures, p.max_tokens, seed)
    flat = [(chat, text) for chat, texts in zip(chats, sampled, strict=True) for text in texts if text]
    scorer = data.scorer(here)
    scores = iter(scorer([chat for chat, _ in flat], [text for _, text in flat]))
    scored = [[(next(scores), text) for text in texts if text] for texts in sampled]
    return [*pair(chats, scored, p.least_gap, p.pairs_per_prompt), *forged(chats, scored, scorer, seed)]


def _sampled(here: Stage, p: PreferenceData) -> list[dict]:
    chats = data.prompts(here, "prompts")[:p.prompts]
    rows = fresh(here, here.of("sft").checkpoint, chats, p, p.seed)
    if not rows:
        raise UserError(f"no two responses to any of {len(chats)} prompts differ by {p.least_gap} in score",
                        where=f"{paths.PARAMS}: {here.workflow}.preference_data",
                        expected="responses of which some are better than others",
                        fix="train SFT longer, sample at higher temperatures, or give more prompts")
    return [{**row, "split": "train"} for row in rows]
