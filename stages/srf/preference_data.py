"""Stage 2 of SRF: several responses a prompt, scored into pairs; or the pairs of a file, checked row by row."""

from realign import paths, stage
from realign.errors import UserError
from stages.srf import fresh, source


def run() -> str:
    from realign.curate.decontaminate import decontamination, index_evaluation
    from realign.curate.quality import check_rows, data_quality
    from realign.curate.splits import with_splits
    from realign.curate.text import pair_texts
    from realign.lake.schemas import PAIRS, REJECTED
    from realign.lake.table import write_table
    from realign.metrics import exact, mean

    p, data = fresh.settings(), source.settings()
    found = _sampled(p, data) if source.is_world(data) else _given()
    index = index_evaluation((row["row_id"], row["messages"][-1]["content"]) for row in source.evaluation_rows())
    kept, rejected = check_rows(found, pair_texts, PAIRS, index=index)
    if source.is_world(data):
        kept = with_splits(kept, lambda row: row["prompt_id"], p.shares, p.seed)
    write_table(kept, paths.dataset("srf", "preference_data", "pairs"), PAIRS)
    write_table(rejected, paths.dataset("srf", "preference_data", "rejected"), REJECTED)
    dirty = sum(row["reason"] == "contaminated" for row in rejected)
    types = sorted({row["preference_type"] for row in kept})
    metrics = {
        "preference_gap": mean([row["chosen_score"] - row["rejected_score"] for row in kept]),
        "pairs": exact(len(kept)), "decontamination": decontamination(dirty, len(found)),
        "data_quality": data_quality(len(kept), len(found)),
        "pairs_by_type": {t: exact(sum(row["preference_type"] == t for row in kept)) for t in types},
        "rows": {"in": exact(len(found)), "kept": exact(len(kept)), "rejected": exact(len(rejected))},
    }
    stage.write_metrics("srf", "preference_data", metrics)
    return f"{len(kept)} pairs, gap {metrics['preference_gap'].value:.2f}, {len(rejected)} rejected"


def _sampled(p: fresh.PreferenceData, data: source.Data) -> list[dict]:
    chats = source.prompts(data, "prompts")[:p.prompts]
    rows = fresh.pairs_of(paths.checkpoint("srf", "sft"), chats, p, p.seed)
    if not rows:
        raise UserError(f"no two responses to any of {len(chats)} prompts differ by {p.least_gap} in score",
                        where="srf.preference_data", expected="responses of which some are better than others",
                        fix="train SFT longer, sample at higher temperatures, or give more prompts")
    return [{**row, "split": "train"} for row in rows]


def _given() -> list[dict]:
    from realign.lake.schemas import PAIRS
    from realign.lake.table import read_rows

    return read_rows(paths.dataset("srf", "sft", "pairs"), PAIRS)


if __name__ == "__main__":
    stage.main("srf", "preference_data", run)
