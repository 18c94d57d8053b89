"""Start-up in fresh processes: which BLAS, what it says, and when it refuses."""

import os
import sys
from pathlib import Path

import pytest

from tests.forks import forks

linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has a BLAS to put in front of MLX")


@pytest.fixture(scope="module")
def python():
    """`python(code, **environment)`: what a process says that has imported transformers, and nothing of MLX."""
    clean = {k: v for k, v in os.environ.items() if k != "OPENBLAS_CORETYPE"}
    with forks("transformers.models.auto.tokenization_auto") as fresh:
        yield lambda code, **environment: fresh.run(["-c", code], Path.cwd(), clean | environment)


BLOCKED = """
import importlib.util
find = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name == "faiss" else find(name, *rest)
"""
TRAINED = """
import hashlib
from realign.models import backend
backend.start()
import mlx.core as mx
import numpy as np
from mlx.utils import tree_flatten
from realign.models import build
from realign.models.batches import batch_of
from realign.models.chat import Encoded
from realign.objectives import sft
from realign.train import loop
from realign.train.batches import RowBatches
import pathlib
config = dict(model_type="qwen3", hidden_size=128, num_hidden_layers=2, intermediate_size=256, head_dim=32,
              num_attention_heads=4, num_key_value_heads=4, rms_norm_eps=1e-5, vocab_size=512, rope_theta=1e4,
              max_position_embeddings=128, tie_word_embeddings=True)
rng = np.random.default_rng(0)
rows = [Encoded(rng.integers(0, 512, 60).tolist(), [1] * 60) for _ in range(48)]
model = build.create(config, 0)
loop.train(model, sft.loss, RowBatches.of(rows, batch_of, sft.weigh, 16, 1, 0), loop.Settings(1e-3),
           scratch=pathlib.Path("nowhere"), run_id="m")
weights = sorted(tree_flatten(model.parameters()))
print(hashlib.sha256(b"".join(np.array(w).tobytes() for _, w in weights)).hexdigest())
"""


@linux
def test_the_line_names_an_openblas_with_one_set_of_kernels(python):
    done = python("from realign.models import backend; print(backend.describe()); import os;"
                  "print(os.environ.get('OPENBLAS_CORETYPE'), os.environ['TOKENIZERS_PARALLELISM'])")
    line, environment = done.stdout.splitlines()
    if "gpu" in line:
        pytest.skip("computes on a GPU")
    assert line.startswith("backend: MLX on cpu, OpenBLAS") and "slow" not in line
    if " avx2 " in Path("/proc/cpuinfo").read_text():
        assert environment == "Haswell false" and "(Haswell kernels), " in line


@linux
def test_a_choice_of_kernels_made_by_hand_stands(python):
    done = python("from realign.models import backend; print(backend.describe())", OPENBLAS_CORETYPE="SkylakeX")
    assert "Haswell" not in done.stdout or "avx512" not in Path("/proc/cpuinfo").read_text()


@linux
def test_mlx_before_it_is_refused(python):
    done = python("import mlx.core; from realign.models import backend; backend.start()")
    assert done.returncode == 1
    assert "RuntimeError: mlx.core was imported before realign.models.backend.start()" in done.stderr


@linux
def test_without_faiss_it_works_and_says_what_to_install(python):
    done = python(BLOCKED + "from realign.models import backend; print(backend.describe()); import mlx.core as mx;"
                            "print((mx.ones((8, 8)) @ mx.ones((8, 8))).sum().item())")
    line, result = done.stdout.splitlines()
    assert "reference BLAS" in line and "pip install faiss-cpu" in line and float(result) == 512


def test_a_second_start_is_the_first():
    from realign.models import backend

    assert backend.start() is backend.start()


@linux
@pytest.mark.parametrize("threads", ["1", "2"])
def test_two_processes_train_to_the_same_bytes(python, threads):
    hashes = {python(TRAINED, OMP_NUM_THREADS=threads).stdout for _ in range(2)}
    assert len(hashes) == 1 and len(hashes.pop()) == 65


@linux
@pytest.mark.parametrize(("chosen", "said"), [("1", "1 thread\n"), ("3", "3 threads\n")])
def test_the_line_counts_the_lanes(python, chosen, said):
    done = python("from realign.models import backend; print(backend.describe()); import os;"
                  "assert os.environ['OMP_NUM_THREADS'] == '" + chosen + "'", OMP_NUM_THREADS=chosen)
    assert "gpu" in done.stdout or done.stdout.endswith(said)


@linux
@pytest.mark.parametrize("chosen", ["0", "two", "-1"])
def test_a_number_of_cores_that_is_none_is_refused(python, chosen):
    done = python("from realign.models import backend; backend.start()", OMP_NUM_THREADS=chosen)
    assert "gpu" in done.stdout or ("OMP_NUM_THREADS" in done.stderr and repr(chosen) in done.stderr)
