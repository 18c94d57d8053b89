"""A trained model to a directory that mlx-lm loads, whatever the method; what was exported is checked. And its average
with the model that it was trained from."""

from collections.abc import Sequence
from pathlib import Path

import mlx.core as mx
from mlx.utils import tree_map

from realign.models import adapters, build

ADAPTER = "adapter"


def export(model, config: dict, method: adapters.Method, base: str, folder: Path, prompts: Sequence[list[int]]):
    """Write the trained `model` into an existing `folder`; the model as it stands there.

    With adapters, `folder/adapter` holds them as mlx-lm reads them, and `folder` the model with them fused, its base
    de-quantised. Raises UserError where the trained, the adapted and the fused model choose different next tokens in
    `prompts` (token ids).
    """
    if method.kind == "full":
        build.save(model, config, build.folder(base), folder)
        return model
    (folder / ADAPTER).mkdir()
    adapters.save(model, config, method, base, folder / ADAPTER)
    fused, _, fused_config = adapters.load(base, folder / ADAPTER)
    build.save(fused, adapters.fuse(fused, fused_config), build.folder(base), folder)
    adapters.check_export(model, base, folder / ADAPTER, folder, prompts)
    return fused


def average(folder: Path, base: str, share: float):
    """Move the model of `folder` back towards its base: base + share × (model − base), weight by weight; the model as
    it stands there then. Adapters in the folder stay as they were trained.

    What training cost elsewhere comes back sooner than what it taught goes (Wortsman 2022, WiSE-FT, arXiv 2109.01903;
    Lin 2024, Mitigating the Alignment Tax of RLHF, arXiv 2309.06256).
    """
    model, _, config = build.load(str(folder))
    start = build.load(base)[0].parameters()
    model.update(tree_map(lambda old, new: old + share * (new - old), start, model.parameters()))
    mx.eval(model.parameters())
    build.save(model, config, build.folder(base), folder)
    return model
