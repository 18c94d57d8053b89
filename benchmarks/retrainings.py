"""Harmless retrainings: the demo's SFT with five seeds, so five orders of the same rows, and the answers of
each to the gate's rows, greedy and sampled. From their scores benchmarks/rates.py tells how often a verdict errs.

Run: python -m benchmarks.retrainings [--seeds 0 1 2 4 5] [--write tests/trust/answers.parquet]. The demo's rows must be
there (`dvc repro world`). Models and scores stay in .realign/retrainings, so that a run goes on where it ended, and
several can work side by side. Minutes each on one core.
"""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import polars as pl

from realign import params
from realign.lake.atomic import atomic_directory, atomic_file
from realign.models import backend

if __name__ == "__main__":
    backend.start()  # before anything imports mlx.core

from realign.evaluate import capabilities, responses
from realign.models import build
from stages.common import data, sft
from stages.common.sft import COMMON, Sft

SEEDS = (0, 1, 2, 4, 5)  # 0 is how the demo itself trains
MODELS = Path(".realign/retrainings")
BASE, GREEDY, SAMPLED, AGAIN = "base", "greedy", "sampled", "sampled again"
TEMPERATURES = {GREEDY: 0.0, SAMPLED: 1.0, AGAIN: 1.0}
MAX_TOKENS = 64  # as capabilities.measure has it
FACT = (pl.col("reference").str.json_path_match("$.answer").is_not_null()
        & pl.col("reference").str.json_path_match("$.subject").is_not_null())  # as versions/views.sql tells a unit


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    parser.add_argument("--write", type=Path, help="where the scores go; without it they stay beside the models")
    options = parser.parse_args()
    rows, models = data.evaluation_rows(), {BASE: (0, Path(data.base_model()))}
    models |= {str(seed): (seed, trained(seed)) for seed in options.seeds}
    found = [scores(name, folder, 100 * seed + number, decoding, rows)
             for name, (seed, folder) in models.items() for number, decoding in enumerate(TEMPERATURES)]
    if options.write:
        with atomic_file(options.write) as temporary:
            pl.concat(found).write_parquet(temporary, compression="zstd", compression_level=19)


def trained(seed: int) -> Path:
    """The folder of the demo's SFT model as its rows give it in the order of `seed`."""
    folder, base = MODELS / str(seed), data.base_model()
    if not folder.exists():
        p = replace(params.load(COMMON, Sft), seed=seed)
        model, tokenizer, config = build.load(base)
        rows = sft.demo_chats(p, tokenizer).rows
        with atomic_directory(folder) as made:
            _, progress = sft.train(p, model, config, rows, base, made, MODELS / f"{seed}.running")
        print(f"seed {seed}: best of {progress.step} steps: {progress.best_step}, loss {progress.best:.4f}", flush=True)
    return folder


def scores(name: str, folder: Path, seed: int, decoding: str, rows: Sequence[dict]) -> pl.DataFrame:
    """One row an answer of the model in a folder: `model`, `decoding`, `capability`, `slice`, `example`, `unit`
    (examples of one unit ask the same fact), both numbered in the order of the rows, and `right`."""
    kept = MODELS / f"{name} {decoding}.parquet"
    if not kept.exists():
        model, tokenizer, _ = build.load(str(folder))
        given = responses.answers(model, tokenizer, rows,
                                  responses.at_temperature(tokenizer, MAX_TOKENS, TEMPERATURES[decoding]), seed)
        right = [record["score"] == 1 for record in capabilities.records(rows, given)]
        print(f"{name}, {decoding}: {sum(right) / len(right):.3f} right", flush=True)
        columns = ("capability", "slice", "row_id", "reference")
        asked = pl.DataFrame({key: [row[key] for row in rows] for key in columns})
        unit = pl.when(FACT).then(pl.concat_str("capability", "slice", "reference")).otherwise("row_id")
        with atomic_file(kept) as temporary:
            asked.select(pl.lit(name).alias("model"), pl.lit(decoding).alias("decoding"), "capability", "slice",
                         pl.int_range(pl.len(), dtype=pl.Int16).alias("example"),
                         unit.rank("dense").cast(pl.Int16).alias("unit"),
                         pl.Series("right", right)).write_parquet(temporary)
    return pl.read_parquet(kept)


if __name__ == "__main__":
    main()
