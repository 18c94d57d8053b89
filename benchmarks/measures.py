"""What every MLX arm measures of itself, by MLX's own functions."""

import time


def heldout_loss(model, rows: list[list[int]]) -> float:
    """Mean nats a token of rows that are not trained on."""
    import mlx.core as mx
    import mlx.nn as nn

    model.eval()
    total = 0.0
    for row in rows:
        tokens = mx.array([row])
        total += nn.losses.cross_entropy(model(tokens[:, :-1]), tokens[:, 1:], reduction="sum").item()
    return total / sum(len(row) - 1 for row in rows)


def gflops(each=map, count: int = 1) -> float:
    """Speed of products of two 1024 × 1024 float32 matrices, `count` at once as `each` computes them, best of three:
    it shows the BLAS."""
    import mlx.core as mx

    a = mx.random.normal((1024, 1024), key=mx.random.key(0))
    mx.eval(a)
    seconds = []
    for _ in range(3):
        started = time.perf_counter()
        mx.eval(list(each(lambda b: b @ b, [a] * count)))
        seconds.append(time.perf_counter() - started)
    return count * 2 * 1024**3 / min(seconds) / 1e9
