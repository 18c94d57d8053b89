"""Weights as Hugging Face files hold them, which transformers reads too.

mlx-lm undoes a family's layout when it loads (`Model.sanitize`) and keeps its own otherwise: convolutions with their
channels last, experts in one array, GPT-2's matrices turned, Qwen 3.5's norms one higher, Falcon H1's multipliers in
the weights. Here that is done backwards, and taken where mlx-lm reads the same weights back from it.
"""

import re
from collections.abc import Mapping

import mlx.core as mx
import mlx.nn as nn
from mlx.utils import tree_flatten

ONE_HIGHER = ("qwen3_next", "qwen3_5", "qwen3_5_moe")  # families whose norms mlx-lm keeps with 1 added
NORMS = ("input_layernorm.weight", "post_attention_layernorm.weight", "model.norm.weight", "q_norm.weight",
         "k_norm.weight")
TURNED = re.compile(r"h\.\d+\.(attn\.c_attn|attn\.c_proj|mlp\.c_fc|mlp\.c_proj)\.weight")  # of GPT-2
EXPERTS = re.compile(r"(.*)\.switch_mlp\.(gate_proj|up_proj|down_proj)\.weight")
MIXTRAL = {"gate_proj": "w1", "down_proj": "w2", "up_proj": "w3"}


def hugging_face(model: nn.Module, config: Mapping) -> dict[str, mx.array]:
    """The weights of a model by the names and in the shapes of Hugging Face's files; as mlx-lm has them where the model
    is quantised, which transformers does not read, or where mlx-lm would not read the same back."""
    own = dict(tree_flatten(model.parameters()))
    if "quantization" in config:
        return own
    turned = _all_turned(own, config["model_type"])
    if turned.keys() == own.keys() and all(turned[name] is own[name] for name in own):
        return own
    for found in (turned, _all_turned(_unfolded(model, turned, own), config["model_type"])):
        if _read_back(model, found, own):
            return found
    return own


def _all_turned(own: Mapping[str, mx.array], family: str) -> dict[str, mx.array]:
    return {name: array for key, value in own.items() for name, array in _turned(key, value, family)}


def _turned(name: str, value: mx.array, family: str) -> list[tuple[str, mx.array]]:
    """One of mlx-lm's arrays as those of a file."""
    if family == "gpt2":
        name = name.removeprefix("model.")
        return [(name, value.T if TURNED.fullmatch(name) else value)]
    if found := EXPERTS.fullmatch(name):
        block, part = found.groups()
        part = MIXTRAL[part] if block.endswith("block_sparse_moe") else part
        return [(f"{block}.experts.{number}.{part}.weight", expert) for number, expert in enumerate(value)]
    if family in ONE_HIGHER:
        value = value - 1.0 if name.endswith(NORMS) else value
        name = re.sub(r"^language_model\.model\.", "model.language_model.", name).removeprefix("language_model.")
    if re.search(r"conv(1d)?\.weight$", name) and value.ndim == 3 and value.shape[-1] == 1:
        value = value.swapaxes(1, 2)  # (channels, taps, 1) to (channels, 1, taps)
    return [(name, value)]


def _unfolded(model: nn.Module, turned: Mapping[str, mx.array], own: Mapping[str, mx.array]) -> dict[str, mx.array]:
    """mlx-lm's arrays without the factors that it multiplies into a file's (Falcon H1): what it makes of ones."""
    try:
        factors = model.sanitize({name: mx.ones(value.shape) for name, value in turned.items()})
        return {name: value / factors[name] for name, value in own.items()}
    except Exception:  # as below, and where names or shapes are others
        return dict(own)


def _read_back(model: nn.Module, turned: Mapping[str, mx.array], own: Mapping[str, mx.array]) -> bool:
    """Whether mlx-lm makes its own weights of the turned ones."""
    try:
        found = model.sanitize({name: mx.array(value) for name, value in turned.items()})  # some multiply in place
    except Exception:  # of a family that looks for a layer or a part which this model has not
        return False
    return found.keys() == own.keys() and all(
        found[name].shape == value.shape and bool(mx.allclose(found[name], value, rtol=1e-6, atol=1e-7).item())
        for name, value in own.items())
