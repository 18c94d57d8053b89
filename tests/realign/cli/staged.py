"""A stage for test_launch.py: it trains in all processes that were launched, and leaves what a stage leaves."""

from realign.models import backend
from realign.stage import Stage


def run(here: Stage) -> str:
    import mlx.core as mx
    import mlx.nn as nn

    from realign.lake.atomic import atomic_directory, write_json
    from realign.models.chat import Encoded
    from realign.objectives import sft
    from realign.train import loop
    from realign.train.batches import RowBatches

    class Bigrams(nn.Module):
        def __init__(self):
            super().__init__()
            self.table = mx.zeros((8, 8))

    def loss(model, batch):
        tokens = batch["tokens"]
        logits = model.table[tokens[:, :-1]]
        return nn.losses.cross_entropy(logits, tokens[:, 1:]).sum(), mx.array(float(tokens[:, 1:].size)), {}

    write_json("before.json", {})
    rows = [Encoded([i % 8, (3 * i) % 8, 1], [0, 1, 1]) for i in range(12)]
    model = Bigrams()
    state = loop.train(model, loss, RowBatches.of(rows, sft.SFT.collate, sft.SFT.weigh, 4, 1, 0),
                       loop.Settings(0.1, checkpoint_every=1), scratch=here.scratch / "checkpoint", run_id="a")
    with atomic_directory(here.checkpoint) as folder:
        mx.save_safetensors(str(folder / "model.safetensors"), {"table": model.table})
    here.report({}, state.history)
    return "trained"


if __name__ == "__main__":
    backend.start()
    Stage("w", "s").run(run)
