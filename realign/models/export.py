"""A trained model to a directory that mlx-lm loads, whatever the method; what was exported is checked."""

from collections.abc import Sequence
from pathlib import Path

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
