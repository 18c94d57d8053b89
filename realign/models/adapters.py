"""Which weights a training moves: all, low-rank adapters (LoRA, DoRA), or adapters on a quantised base.

Layers and files are mlx-lm's (adapters.safetensors, adapter_config.json): its `generate --adapter-path` and
`fuse` take what comes out. The loop trains what `prepare` leaves trainable.
"""

import contextlib
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from realign.errors import UserError
from realign.models import build
from realign.params import PartShare, Positive, Rate

WEIGHTS, SETTINGS, BASE = "adapters.safetensors", "adapter_config.json", "base"
Bits = Literal[2, 3, 4, 5, 6, 8]  # what MLX packs
# mlx-lm's DoRALinear takes 32 // bits for the weights in a word: wrong where a weight spans two words.
DORA_BITS = (2, 4, 8)
# Two tokens whose logits lie this near, in deviations of the position's logits, may change places by
# rounding: that of float32 sums, or of weights fused in sixteen bits (0.08 measured, with large adapters).
TIE, TIE_16 = 1e-3, 0.1


@dataclass(frozen=True)
class Method:
    """What is trained of a model, as one section of params.yaml. `full` has no use for any of the rest.

    Raises UserError for `full` with settings of adapters. rank, scale and dropout have mlx-lm's defaults.
    """

    kind: Literal["full", "lora", "dora"] = "full"
    """Every weight (full), or low-rank adapters on a frozen base: LoRA, or DoRA, which also learns magnitudes."""
    rank: Positive = 8
    """Rank of the adapters' low-rank product."""
    scale: Rate = 20.0
    """Factor on the low-rank product: alpha / rank elsewhere."""
    dropout: PartShare = 0.0
    """Share of an adapter's inputs that a training step leaves out."""
    layers: Positive | None = None
    """Blocks that get adapters, counted from the last; null: all."""
    targets: tuple[str, ...] | None = None
    """Linear layers that get adapters, by name inside a block (self_attn.q_proj) or the model (lm_head); null: every
    linear layer of a block."""
    bits: Bits | None = None
    """Bits a weight to which the frozen base is quantised (QLoRA); null: the base stays as it is."""
    group: Literal[32, 64, 128] = 64
    """Weights of the quantised base that share a scale."""

    def __post_init__(self):
        partial = [name for name in ("layers", "targets", "bits") if getattr(self, name) is not None]
        if self.kind == "full" and partial:
            raise UserError(f"kind is full, with {' and '.join(partial)}", where="method",
                            expected=f"null for {' and '.join(partial)} with kind full, which trains every weight",
                            fix="set them to null, or choose the kind lora or dora")


def prepare(model, config: dict, method: Method, seed: int) -> dict:
    """Make `model` trainable by `method`, in place; the config of the base that it now stands on.

    The adapters start as `mlx_lm.lora` starts them with that seed: A uniform, B zero, so nothing changes yet.
    Of a reward model prepare the trunk; its head stays trainable. Raises UserError where the two do not fit.
    """
    import mlx.core as mx
    from mlx_lm.tuner.utils import linear_to_lora_layers

    if method.kind == "full":
        if "quantization" in config:
            raise UserError("a quantised base cannot be trained in full", where="method.kind",
                            expected="lora or dora",
                            fix="choose one of them, or a base that is not quantised")
        model.unfreeze()
        return config
    layers = len(model.layers)
    if (method.layers or 0) > layers:
        raise UserError(f"layers is {method.layers}", where="method",
                        expected=f"at most {layers}, those of the model")
    parameters = _parameters(model, method)
    if method.bits is not None:
        config = _quantise(model, config, method)
    if method.kind == "dora":
        _require_dora(model, parameters["keys"])
    model.freeze()
    mx.random.seed(seed)
    linear_to_lora_layers(model, method.layers or layers, parameters, use_dora=method.kind == "dora")
    mx.eval(model.parameters())
    return config


def _parameters(model, method: Method) -> dict:
    """mlx-lm's `lora_parameters`, the layers' names written out, whatever its default may become."""
    import mlx.nn as nn

    linear = (nn.Linear, nn.QuantizedLinear)
    blocks = {name for layer in model.layers for name, m in layer.named_modules() if isinstance(m, linear)}
    inside = {id(m) for layer in model.layers for m in layer.modules()}
    others = {name for name, m in model.named_modules()
              if isinstance(m, (*linear, nn.Embedding, nn.QuantizedEmbedding)) and id(m) not in inside}
    keys = sorted(blocks if method.targets is None else method.targets)
    unknown = [name for name in keys if name not in blocks | others]
    if unknown or not keys:
        what = f"targets has {unknown[0]!r}, which the model has not" if unknown else "no layer to adapt"
        raise UserError(what, where="method",
                        expected="some of " + ", ".join(sorted(blocks) + sorted(others)))
    return {"rank": method.rank, "scale": method.scale, "dropout": method.dropout, "keys": keys}


def _quantise(model, config: dict, method: Method) -> dict:
    from mlx_lm.utils import quantize_model

    if "quantization" in config:
        raise UserError("the base is quantised already", where="method.bits", expected="null",
                        fix="leave bits out, or choose a base that is not quantised")
    for name, module in model.named_modules():  # mlx-lm would leave such a layer as it is, unsaid
        if hasattr(module, "to_quantized") and module.weight.shape[-1] % method.group:
            raise UserError(f"{name} is {module.weight.shape[-1]} wide", where="method.group",
                            expected=f"a multiple of the group, {method.group}",
                            fix="lower group, or leave bits out")
    with contextlib.redirect_stdout(io.StringIO()):  # it prints the bits per weight
        _, config = quantize_model(model, config, method.group, method.bits)
    return config


def _require_dora(model, keys: Sequence[str]) -> None:
    """Refuse the quantised layers that mlx-lm's DoRA takes and computes wrongly."""
    import mlx.nn as nn

    for name, module in model.named_modules():
        if not any(name == key or name.endswith("." + key) for key in keys):
            continue
        if isinstance(module, nn.QuantizedEmbedding) or getattr(module, "bits", 4) not in DORA_BITS:
            raise UserError(f"DoRA on {name}, of {module.bits} bits", where="method",
                            expected=f"a linear layer, whole or of {', '.join(map(str, DORA_BITS))} bits",
                            fix="choose the kind lora, or other bits or targets")


def save(model, config: dict, method: Method, base: str, folder: Path) -> None:
    """Write what was trained into an existing folder, as mlx-lm's adapter; `config` is what `prepare` gave.

    Where `prepare` quantised the base, the quantised base goes into `folder/base`: the adapter was trained on
    its weights and belongs to no other.
    """
    from mlx.utils import tree_flatten

    build.write_arrays(folder / WEIGHTS, dict(tree_flatten(model.trainable_parameters())))
    settings = {"fine_tune_type": method.kind, "model": base}
    if method.kind != "full":
        with bare(model):
            settings |= {"num_layers": method.layers or len(model.layers),
                         "lora_parameters": _parameters(model, method)}
            if method.bits is not None:
                (folder / BASE).mkdir()
                build.save(model, config, build.folder(base), folder / BASE)
    (folder / SETTINGS).write_text(json.dumps(settings, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def _adapted(model) -> list[tuple]:
    """Names and modules of the adapters, with what lies below each."""
    return [(name, layer, layer["linear"] if "linear" in layer else layer["embedding"])
            for name, layer in model.named_modules() if hasattr(layer, "fuse")]


@contextlib.contextmanager
def bare(model) -> Iterator[None]:
    """The model without its adapters while the block lasts: the base, as a reference that takes no memory."""
    from mlx.utils import tree_unflatten

    adapted = _adapted(model)
    model.update_modules(tree_unflatten([(name, below) for name, _, below in adapted]))
    try:
        yield
    finally:
        model.update_modules(tree_unflatten([(name, layer) for name, layer, _ in adapted]))


def base_of(base: str, adapter: Path) -> str:
    """The model that an adapter stands on: `base`, or the quantised one that `save` wrote with it."""
    return str(adapter / BASE) if (adapter / BASE).is_dir() else base


def load(base: str, adapter: Path):
    """`(model, tokenizer, config)` of a base with an adapter on it, as `mlx_lm.load(…, adapter_path=…)` gives
    them, but with the base frozen, so that training may go on.

    Raises UserError where the adapter is not there, is broken, or does not fit the base.
    """
    from mlx_lm.tuner.utils import load_adapters

    from realign.models import sound

    if missing := [name for name in (WEIGHTS, SETTINGS) if not (adapter / name).exists()]:
        raise UserError(f"no {' or '.join(missing)}", where=str(adapter),
                        expected="an adapter as mlx-lm writes them")
    model, tokenizer, config = build.load(base_of(base, adapter))
    model.freeze()
    try:
        load_adapters(model, str(adapter))
    # Settings that are no JSON or lack a key, weights that are broken or of another model.
    except (ValueError, KeyError, AttributeError, TypeError, RuntimeError) as error:
        raise UserError(f"this adapter could not be loaded: {str(error)[:300]}", where=str(adapter),
                        expected=f"an adapter of {base}",
                        fix="give the base that it was trained on") from error
    sound.require_numbers(model, str(adapter))
    if not _adapted(model):  # full
        model.unfreeze()
    model.eval()
    return model, tokenizer, config


def fuse(model, config: dict) -> dict:
    """Put the adapters into the weights, in place; the config of what is now a plain model, for `build.save`.

    A quantised base comes out de-quantised: rounded again, it would lose part of what was trained. Weights
    keep the base's precision.
    """
    import mlx.core as mx
    from mlx.utils import tree_unflatten
    from mlx_lm.utils import dequantize_model

    fused = []
    for name, layer, below in _adapted(model):
        new = layer.fuse(dequantize=True)
        kind = below["scales" if "scales" in below else "weight"].dtype
        if mx.issubdtype(kind, mx.floating):  # scales of eight bits say nothing about the weights'
            new.set_dtype(kind)  # DoRA's magnitudes are float32
        fused.append((name, new))
    if fused:
        model.update_modules(tree_unflatten(fused))
    dequantize_model(model)
    mx.eval(model.parameters())
    return {k: v for k, v in config.items() if k not in ("quantization", "quantization_config")}


def check_export(model, base: str, adapter: Path, fused: Path, prompts: Sequence[list[int]]
                 ) -> dict[str, float]:
    """Raise UserError unless the trained `model` and, loaded from disk, its adapter and its fused model
    choose the same next token everywhere in `prompts` (token ids); ties within rounding pass.

    Returns the share of positions at which each chooses exactly the same. A fused model that was quantised
    again, as `mlx_lm.fuse` does without --dequantize, has other weights and is held to the same.
    """
    if not any(prompts):
        raise UserError("no prompt to compare on", where=str(adapter), expected="at least one token")
    chosen = {"adapter": (adapter, _top_tokens(load(base, adapter)[0], prompts), TIE),
              "fused": (fused, _top_tokens(build.load(str(fused))[0], prompts), _tie(fused))}
    shares = {}
    for name, (folder, tokens, tie) in chosen.items():
        same, off = _compare(model, prompts, tokens, tie)
        if off:
            raise UserError(
                f"the {name} model chooses another token than the trained one at {off} of "
                f"{sum(map(len, prompts))} positions", where=str(folder),
                expected="the same next token everywhere",
                fix="save and fuse again on the base that was trained; a model quantised anew after fusing "
                    "is another model, to be evaluated as such")
        shares[name] = same
    return shares


def _tie(folder: Path) -> float:
    import mlx.core as mx

    arrays = (array for file in folder.glob("model*.safetensors") for array in mx.load(str(file)).values())
    return TIE_16 if any(array.dtype in (mx.bfloat16, mx.float16) for array in arrays) else TIE


def _top_tokens(model, prompts: Sequence[list[int]]) -> list:
    import mlx.core as mx

    found = [model(mx.array([prompt]))[0].argmax(-1) for prompt in prompts if prompt]
    mx.eval(found)
    return found


def _compare(model, prompts: Sequence[list[int]], tokens: list, tie: float) -> tuple[float, int]:
    """Share of positions where the model's own choice is `tokens`, and how many others are no tie."""
    import mlx.core as mx

    model.eval()
    same = off = total = 0
    for prompt, chosen in zip(filter(None, prompts), tokens, strict=True):
        logits = model(mx.array([prompt]))[0].astype(mx.float32)
        behind = logits.max(-1) - mx.take_along_axis(logits, chosen[:, None], -1)[:, 0]
        near = behind <= tie * mx.std(logits, axis=-1)  # false for what is not a number
        same += (logits.argmax(-1) == chosen).sum().item()
        off += mx.logical_not(near).sum().item()
        total += len(prompt)
    return same / total, off
