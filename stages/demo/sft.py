"""The demo's SFT model, trained once for every workflow that has no data and no knobs of its own."""

from realign import params
from realign.lake.atomic import atomic_directory
from realign.models import build
from realign.stage import Stage
from stages.common import data, sft
from stages.common.sft import COMMON, SHARED, Sft


def run(here: Stage) -> str:
    p, base = params.load(COMMON, Sft), data.base_model()
    model, tokenizer, config = build.load(base)
    sft.require_window(p, config, base)
    rows = sft.demo_chats(p, tokenizer).rows
    with atomic_directory(SHARED) as folder:
        (folder / "model").mkdir()
        _, progress = sft.train(p, model, config, rows, base, folder / "model", here.scratch)
        sft.keep(progress, folder)
    return f"best of {progress.step} steps: {progress.best_step}, held-out loss {progress.best:.3f}"
