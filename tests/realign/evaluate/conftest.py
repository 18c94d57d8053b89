"""A NumPy transformer in float64, to compute on its own what MLX computes in float32."""

import numpy as np
import pytest
from mlx.utils import tree_flatten

from realign.models.chat import Encoded


class Mirror:
    """The Llama of tests/conftest.py, one sequence at a time, without batches, masks or caches."""

    def __init__(self, model, config):
        self.weights = {name: np.array(value).astype(np.float64) for name, value in tree_flatten(model.parameters())}
        self.config = config

    def logits(self, tokens) -> np.ndarray:
        w, c = self.weights, self.config
        x = w["model.embed_tokens.weight"][tokens]
        for layer in range(c["num_hidden_layers"]):
            p = f"model.layers.{layer}."
            x = x + self._attention(self._norm(x, w[p + "input_layernorm.weight"]), p + "self_attn.")
            h = self._norm(x, w[p + "post_attention_layernorm.weight"])
            gate, up = h @ w[p + "mlp.gate_proj.weight"].T, h @ w[p + "mlp.up_proj.weight"].T
            x = x + (gate / (1 + np.exp(-gate)) * up) @ w[p + "mlp.down_proj.weight"].T
        return self._norm(x, w["model.norm.weight"]) @ w["model.embed_tokens.weight"].T

    def log_softmax(self, tokens) -> np.ndarray:
        z = self.logits(tokens)
        z = z - z.max(-1, keepdims=True)
        return z - np.log(np.exp(z).sum(-1, keepdims=True))

    def _norm(self, x, weight):
        return x / np.sqrt((x**2).mean(-1, keepdims=True) + self.config["rms_norm_eps"]) * weight

    def _rotate(self, x):
        half = x.shape[-1] // 2
        angles = np.arange(len(x))[:, None, None] * self.config["rope_theta"] ** (-np.arange(half) / half)
        a, b = x[..., :half], x[..., half:]
        return np.concatenate([a * np.cos(angles) - b * np.sin(angles), a * np.sin(angles) + b * np.cos(angles)], -1)

    def _attention(self, x, p):
        c, n = self.config, len(x)
        q, k, v = ((x @ self.weights[f"{p}{name}_proj.weight"].T).reshape(n, -1, c["head_dim"]) for name in "qkv")
        q, k = self._rotate(q), self._rotate(k)
        share = q.shape[1] // k.shape[1]
        k, v = np.repeat(k, share, 1), np.repeat(v, share, 1)
        scores = np.einsum("ihd,jhd->hij", q, k) / np.sqrt(c["head_dim"])
        scores = np.where(np.tri(n, dtype=bool), scores, -np.inf)
        scores = np.exp(scores - scores.max(-1, keepdims=True))
        mixed = np.einsum("hij,jhd->ihd", scores / scores.sum(-1, keepdims=True), v)
        return mixed.reshape(n, -1) @ self.weights[p + "o_proj.weight"].T


@pytest.fixture(scope="session")
def mirror(tiny_config):
    return lambda model: Mirror(model, tiny_config())


@pytest.fixture(scope="session")
def sequences():
    """`sequences(n)`: rows of random tokens and lengths, of which the last few tokens are the response."""
    def make(n: int, seed: int = 0) -> list[Encoded]:
        rng = np.random.default_rng(seed)
        rows = []
        for _ in range(n):
            prompt, response = rng.integers(1, 12), rng.integers(1, 15)
            rows.append(Encoded(rng.integers(1, 48, prompt + response).tolist(), [0] * prompt + [1] * response))
        return rows
    return make
