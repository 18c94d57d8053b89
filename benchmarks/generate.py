"""Tokens sampled a second: this project against mlx_lm.batch_generate, interleaved in one process.

Same random Llama, prompts, batch size and BLAS on both sides; the clock includes reading the prompts.
Run: python -m benchmarks.generate [--batch 32 64 128] [--stop-share 0.05]
"""

import argparse
import statistics
import time

from realign.models import backend


def main() -> None:
    options = arguments()
    print(backend.start())
    from mlx_lm.generate import batch_generate
    from mlx_lm.sample_utils import make_sampler

    from realign.models.generate import Sampling, generate

    model, prompts = workload(options)
    stop = tuple(range(round(options.vocabulary * options.stop_share)))
    sampler = make_sampler(1.0, top_p=options.top_p if options.top_p < 1 else 0.0)

    def ours(batch):
        how = Sampling(options.tokens, 1.0, options.top_p, stop, batch)
        return sum(len(c.tokens) for c in generate(model, prompts, how, seed=1))

    def theirs(batch):
        found = batch_generate(
            model, Tokenizer(stop), prompts, max_tokens=options.tokens, sampler=sampler,
            return_token_ids=True, return_logprobs=True, completion_batch_size=batch,
            prefill_batch_size=min(batch, 32),
        )
        return sum(len(t) + (len(t) < options.tokens) for t in found.token_ids)  # it leaves stop tokens out

    print(f"batch  realign tok/s   mlx_lm tok/s  ratio   medians of {options.rounds}")
    for batch in options.batch:
        rates = {ours: [], theirs: []}
        for turn in range(options.rounds + 1):
            for side, found in rates.items():
                rate = tokens_per_second(side, batch, options.cpu_time)
                if turn:  # the first turn warms up
                    found.append(rate)
        mine, other = (statistics.median(r) for r in rates.values())
        ratio = statistics.median(a / b for a, b in zip(*rates.values(), strict=True))
        print(f"{batch:>5} {mine:>14.0f} {other:>14.0f} {ratio:>6.2f}", flush=True)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, nargs="+", default=[32, 64, 128])
    parser.add_argument("--prompts", type=int, default=256)
    parser.add_argument("--tokens", type=int, default=24, help="new tokens a prompt, at most")
    parser.add_argument("--stop-share", type=float, default=0.0, help="share of vocabulary that ends a row")
    parser.add_argument("--top-p", type=float, default=1.0)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--vocabulary", type=int, default=1200)
    parser.add_argument("--cpu-time", action="store_true", help="processor time, for a machine that is busy")
    return parser.parse_args()


def workload(options: argparse.Namespace):
    """A random Llama of 0.7 million parameters and prompts of 20 to 100 tokens."""
    import mlx.core as mx
    import numpy as np
    from mlx_lm.models import llama

    mx.random.seed(0)
    model = llama.Model(llama.ModelArgs(
        model_type="llama", hidden_size=128, num_hidden_layers=3, intermediate_size=352,
        num_attention_heads=4, rms_norm_eps=1e-5, vocab_size=options.vocabulary, max_position_embeddings=512,
    ))
    mx.eval(model.parameters())
    rng = np.random.default_rng(0)
    lengths = rng.integers(20, 101, options.prompts)
    return model, [rng.integers(0, options.vocabulary, n).tolist() for n in lengths]


class Tokenizer:
    """What batch_generate asks of a tokenizer."""

    def __init__(self, stop: tuple[int, ...]):
        self.eos_token_ids = stop

    def decode(self, tokens: list[int]) -> str:
        return ""


def tokens_per_second(side, batch: int, cpu_time: bool) -> float:
    clock = time.process_time if cpu_time else time.perf_counter
    start = clock()
    tokens = side(batch)
    return tokens / (clock() - start)


if __name__ == "__main__":
    main()
