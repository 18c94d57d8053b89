"""Stage 2: several responses a prompt, scored into pairs; or the pairs of a file, checked row by row."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from realign import paths
from realign.curate.checks import check_all, data_quality
from realign.curate.contamination import decontamination, evaluation_index
from realign.curate.pairs import forged, pair
from realign.curate.rejected import told
from realign.curate.splits import with_splits
from realign.curate.text import PAIR_TEXTS
from realign.errors import UserError
from realign.evaluate import responses
from realign.lake.schemas import PAIRS, REJECTED
from realign.lake.table import batches, frame, writer
from realign.metrics import exact, mean
from realign.models import build
from realign.params import Count, OpenShare, Rows, Share, Temperatures, Times, Tokens
from realign.stage import Stage
from stages.common import data


@dataclass(frozen=True)
class PreferenceData:
    """How responses are sampled and paired."""

    seed: Count
    """Of what is sampled, and of the split."""
    prompts: Rows
    """Prompts that are sampled from."""
    temperatures: Temperatures
    """One response at each."""
    max_tokens: Tokens
    """Longest response, tokens."""
    least_gap: Share
    """Of the scores (0 to 1) between the sides of a pair."""
    pairs_per_prompt: Times
    """Pairs at most."""
    validation: OpenShare
    """Share of prompts that are held out."""
    minimal_pairs: bool
    """Whether the best responses are also paired with themselves, one value forged."""

    @property
    def shares(self) -> dict[str, float]:
        """Of prompts, by split."""
        return {"train": 1 - self.validation, "validation": self.validation}


def run(here: Stage) -> str:
    p, demo = here.params(PreferenceData), data.settings(here).demo
    checked = (check_all([_sampled(here, p)], PAIR_TEXTS, index=evaluation_index(*paths.SUITES)) if demo
               else _of_file(here))
    gaps, types, reasons = [], Counter(), Counter()
    with writer(here.dataset("pairs"), PAIRS) as kept, writer(here.dataset("rejected"), REJECTED) as rejected:
        for good, bad in checked:
            kept.write(with_splits(good, "prompt_id", p.shares, p.seed) if demo else good)
            rejected.write(bad)
            gaps.append((good["chosen_score"] - good["rejected_score"]).to_numpy())
            types.update(good["preference_type"])
            reasons.update(bad["reason"])
    gaps, total = np.concatenate(gaps), kept.rows + rejected.rows
    # A label says which side is better, not by how much: its scores, 1 and 0, measure no gap.
    gap = {} if not demo and (gaps == 1).all() else {"preference_gap": mean(gaps)}
    here.report({
        **gap, "pairs": exact(kept.rows), "data_quality": data_quality(kept.rows, total),
        "decontamination": decontamination(reasons["contaminated"], total),
        "pairs_by_type": {name: exact(count) for name, count in types.items()},
        "rows": {"in": exact(total), "kept": exact(kept.rows), "rejected": exact(rejected.rows)},
    })
    of_gap = f"gap {gap['preference_gap'].value:.2f}" if gap else "labels without a gap"
    return f"{kept.rows} pairs, {of_gap}" + told(reasons, total, here.dataset("rejected"))


def _of_file(here: Stage) -> Iterator[tuple[pl.DataFrame, pl.DataFrame]]:
    """The rows of a file as the stage `sft` has checked them, `(kept, rejected)`: of the whole file, so that the gate
    sees what share of it was left out."""
    for bad in batches(here.of("sft").dataset("rejected"), REJECTED, allow_empty=True):
        yield frame([], PAIRS), bad
    for good in batches(here.of("sft").dataset("pairs"), PAIRS):
        yield good, frame([], REJECTED)


def fresh(here: Stage, model: Path, chats: Sequence[dict], p: PreferenceData, seed: int) -> list[dict]:
    """Pairs of the responses that the model of a directory gives to the chats and, where wanted, of the best of these
    with one value forged; in no split yet."""
    scorer = data.scorer(here)  # a wrong name is told before hours of sampling
    policy, tokenizer, _ = build.load(str(model))
    sampled = responses.several(policy, tokenizer, chats, p.temperatures, p.max_tokens, seed)
    flat = [(chat, text) for chat, texts in zip(chats, sampled, strict=True) for text in texts if text]
    scores = iter(scorer([chat for chat, _ in flat], [text for _, text in flat]))
    scored = [[(next(scores), text) for text in texts if text] for texts in sampled]
    minimal = forged(chats, scored, scorer, seed) if p.minimal_pairs else []
    return [*pair(chats, scored, p.least_gap, p.pairs_per_prompt), *minimal]


def _sampled(here: Stage, p: PreferenceData) -> pl.DataFrame:
    chats = data.prompts(here, "prompts")[:p.prompts]
    rows = fresh(here, here.of("sft").checkpoint, chats, p, p.seed)
    if not rows:
        raise UserError(f"no two responses to any of {len(chats)} prompts differ by {p.least_gap} in score",
                        where=f"{paths.PARAMS}: {here.workflow}.preference_data",
                        expected="responses of which some are better than others",
                        fix="train SFT longer, sample at higher temperatures, or give more prompts")
    return frame(rows, PAIRS)
