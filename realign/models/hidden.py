"""Inside a language model: hidden states, and the logits that it makes of them.

The body of one of mlx-lm's models is what holds its layers; what stands above is a projection, with the scale or the
cap that its family puts there. Both are the model's own code: the body is called, and of the rest the model's
`__call__` with what the body said in the body's place. Where that does not give the model's logits (`anatomy` tries
it once), a model's hidden states are its logits.
"""

from dataclasses import dataclass
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import numpy as np

NAME = "_anatomy"  # of the attribute that keeps what was found of a model
TOLERANCE, TOLERANCE_16 = 1e-4, 2e-2  # of the largest logit: rounding of float32, or of sixteen bits and quantised


@dataclass(frozen=True)
class Anatomy:
    """Where the body is, as names of attributes: of the language model in a model (none: itself), and of the body in
    that; None: the model cannot be taken apart. `width` of hidden states, and how many tokens have a logit."""

    inner: tuple[str, ...]
    body: str | None
    width: int
    vocabulary: int


class _Instead:
    """A module for one call, with one part exchanged; all else is the module's."""

    def __init__(self, module: nn.Module, parts: dict[str, Any]):
        self.__dict__.update(parts, _module=module)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, name)

    def __contains__(self, name: str) -> bool:
        return name in self._module


class _Said(_Instead):
    """A body that says what it is told to say."""

    def __init__(self, body: nn.Module, hidden: mx.array):
        super().__init__(body, {"_hidden": hidden})

    def __call__(self, *_: Any, **__: Any) -> mx.array:
        return self._hidden


def anatomy(model: nn.Module) -> Anatomy:
    """What is found of a model by trying it on a few tokens, once; kept on the model."""
    found = model.__dict__.get(NAME)
    if found is None:
        found = _examined(model)
        object.__setattr__(model, NAME, found)
    return found


def hidden_states(model: nn.Module, tokens: mx.array, cache=None) -> mx.array:
    """Last hidden states, after the final norm: (B, T) to (B, T, D)."""
    found = anatomy(model)
    return model(tokens, cache=cache) if found.body is None else _states(model, found, tokens, cache)


def project(model: nn.Module, hidden: mx.array) -> mx.array:
    """Hidden states (…, D) to logits (…, V)."""
    found = anatomy(model)
    return hidden if found.body is None else _logits(model, found, hidden)


def alike(a: mx.array, b: mx.array) -> bool:
    """Whether two arrays of logits are the same but for rounding."""
    tolerance = TOLERANCE if b.dtype == mx.float32 else TOLERANCE_16
    a, b = a.astype(mx.float32), b.astype(mx.float32)
    return a.shape == b.shape and bool((mx.abs(a - b).max() <= tolerance * mx.abs(b).max()).item())


def _states(model: nn.Module, found: Anatomy, tokens: mx.array, cache) -> mx.array:
    return getattr(_inner(model, found), found.body)(tokens, cache=cache)


def _logits(model: nn.Module, found: Anatomy, hidden: mx.array) -> mx.array:
    inner = _inner(model, found)
    said = _Said(getattr(inner, found.body), hidden)
    return type(inner).__call__(_Instead(inner, {found.body: said}), None)


def _inner(model: nn.Module, found: Anatomy) -> nn.Module:
    for name in found.inner:
        model = getattr(model, name)
    return model


def _examined(model: nn.Module) -> Anatomy:
    """Tried in evaluation mode, on tokens that no other draw depends on."""
    size = getattr(getattr(model, "args", None), "vocab_size", None) or 2
    tokens = mx.array(np.random.default_rng(0).integers(0, size, (2, 4)).astype(np.int32))
    training = model.training
    model.eval()
    try:
        own = model(tokens)
        inner, body = _placed(model)
        found = Anatomy(inner, body, 0, own.shape[-1])
        if body is not None and (width := _width(model, found, tokens, own)):
            return Anatomy(inner, body, width, own.shape[-1])
    finally:
        model.train(training)
    return Anatomy((), None, own.shape[-1], own.shape[-1])


def _width(model: nn.Module, found: Anatomy, tokens: mx.array, own: mx.array) -> int:
    """Of the body's hidden states, if the model makes its logits of them wherever they stand; else 0."""
    try:
        states = _states(model, found, tokens, None)
        picked = states.reshape(-1, states.shape[-1])[mx.array([6, 1, 3])]
        whole, some = _logits(model, found, states), _logits(model, found, picked)
        right = alike(whole, own) and alike(some, own.reshape(-1, own.shape[-1])[mx.array([6, 1, 3])])
    except Exception:  # whatever a family's code raises where it is called otherwise than by itself
        return 0
    return states.shape[-1] if right else 0


def _placed(model: nn.Module) -> tuple[tuple[str, ...], str | None]:
    """Names of the language model in a model, and of the body in that: the child that holds the layers."""
    inner: tuple[str, ...] = ()
    while isinstance(getattr(model, "language_model", None), nn.Module):
        inner, model = (*inner, "language_model"), model.language_model
    layers = getattr(model, "layers", None) or [None]
    holders = (name for name, child in model.children().items() if isinstance(child, nn.Module)
               and any(part is layers[0] for part in child.modules()))
    return inner, next(holders, None)
