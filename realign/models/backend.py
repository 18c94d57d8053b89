"""The one place that starts MLX: BLAS, environment, device, precision, determinism.

Import this module before `mlx.core`: on Linux CPU, MLX's wheel links the unoptimised reference BLAS
(6 GFLOP/s on two cores), but it calls plain `cblas_*` symbols, so an OpenBLAS that is loaded first
with global visibility takes over (over 200 GFLOP/s). The OpenBLAS is the one that the `faiss-cpu` wheel carries.

It keeps to one thread, and the cores are used by computing several things at once (`threads`): as many as there are
cores, or OMP_NUM_THREADS.
"""

import ctypes
import importlib.util
import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from realign.errors import UserError
from realign.lake.atomic import RANK

ENVIRONMENT = {
    "TOKENIZERS_PARALLELISM": "false",
    "MLX_METAL_PREALLOCATE": "1",
    "MLX_METAL_FAST_SYNCH": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DO_NOT_TRACK": "1",
    "TRANSFORMERS_NO_ADVISORY_WARNINGS": "1",
    "OMP_WAIT_POLICY": "PASSIVE",
}
INSTALL_BLAS = "pip install faiss-cpu"


@dataclass(frozen=True)
class Backend:
    """What a run computes on: `device` cpu or gpu, `blas` by name, `fast` where it is an optimised one."""

    device: str
    blas: str
    fast: bool

    def __str__(self) -> str:
        line = f"backend: MLX on {self.device}, {self.blas}"
        return line if self.fast else f"{line} (slow; to train about ten times faster: {INSTALL_BLAS})"


_started: Backend | None = None


def _wheel_libraries() -> Path | None:
    """Folder of the shared libraries inside the installed faiss-cpu wheel."""
    spec = importlib.util.find_spec("faiss")
    if spec is None or spec.origin is None:
        return None
    folder = Path(spec.origin).parent.parent / "faiss_cpu.libs"
    return folder if folder.is_dir() else None


def load_openblas(threads: int) -> str | None:
    """Load OpenBLAS for every library that comes after; its own description, or None where there is none."""
    folder = _wheel_libraries()
    if folder is None or not any(folder.glob("libopenblas*")):
        return None
    flags = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    if " avx2 " in flags:
        # One set of kernels on every x86 machine with AVX2, so that the same commit gives the same bytes
        # on all of them; OpenBLAS would also take a processor it does not know for a Prescott.
        os.environ.setdefault("OPENBLAS_CORETYPE", "Haswell")
    with _environment(OMP_NUM_THREADS=str(threads)):  # which its OpenMP reads as it is loaded, and never again
        for pattern in ("libquadmath*", "libgfortran*", "libgomp*", "libopenblas*"):
            for path in sorted(folder.glob(pattern)):
                library = ctypes.CDLL(str(path), mode=ctypes.RTLD_GLOBAL)
    library.openblas_get_config.restype = ctypes.c_char_p
    words = library.openblas_get_config().decode().split()
    library.openblas_get_corename.restype = ctypes.c_char_p
    return f"{words[0]} {words[1]} ({library.openblas_get_corename().decode()} kernels)"


@contextmanager
def _environment(**variables: str) -> Iterator[None]:
    """With these environment variables inside the block."""
    before = dict(os.environ)
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def cores() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _chosen_cores() -> int:
    """How many cores to use: those of this process, or OMP_NUM_THREADS."""
    chosen = os.environ.get("OMP_NUM_THREADS", "")
    if not chosen:
        return cores()
    if not chosen.isdigit() or chosen == "0":
        raise UserError(f"found {chosen!r}", where="OMP_NUM_THREADS", expected="a number from 1",
                        fix="set it to the number of cores to use, or leave it out")
    return int(chosen)


def _keep_memory() -> None:
    """Let glibc keep freed memory. MLX on CPU allocates every intermediate array anew; handing each back to the
    system costs a fifth of the time of a training step in page faults (measured)."""
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        for option, value in ((-8, 1), (-3, 32 << 20), (-1, (1 << 31) - 1), (-2, 256 << 20)):
            libc.mallopt(option, value)  # M_ARENA_MAX, M_MMAP_THRESHOLD, M_TRIM_THRESHOLD, M_TOP_PAD


def _join() -> None:
    """Meet the processes launched together with this one: at once, since they do not wait long. It ends with its
    launcher, or it would train on beside the next run."""
    import mlx.core as mx

    try:
        mx.distributed.init(strict=True)
    except RuntimeError as error:
        raise UserError(f"the processes of this run do not find each other: {error}", where="MLX_HOSTFILE",
                        expected="several hosts that reach each other", fix="see `realign launch --help`") from error
    threading.Thread(target=_leave_with, args=(os.getppid(),), daemon=True).start()


def _leave_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1.0)
    os._exit(1)


def start() -> Backend:
    """Start MLX once for this process and say on what it computes.

    Joins the processes that were launched together with this one (`realign launch`). Raises RuntimeError where
    `mlx.core` was imported before, since then no BLAS can be put in front of it.
    """
    global _started
    if _started is not None:
        return _started
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    blas = None
    if sys.platform == "linux":
        if "mlx.core" in sys.modules:
            raise RuntimeError("mlx.core was imported before realign.models.backend.start()")
        blas = load_openblas(threads=1)
        _keep_memory()
    import mlx.core as mx

    if RANK in os.environ:
        _join()
    if mx.default_device().type == mx.DeviceType.gpu:
        kind = "Metal" if mx.metal.is_available() else "CUDA"
        _started = Backend(f"gpu ({kind})", "its own kernels", True)
    elif sys.platform == "darwin":
        _started = Backend("cpu", "Accelerate", True)
    else:
        from realign.models import fastmath, threads

        fastmath.install()
        threads.use(_chosen_cores())
        # On CPU mx.compile calls g++ at run time, which a user may not have, and shapeless compilation (in
        # mlx-lm's activations) does not know the bit operations of fastmath.
        mx.disable_compile()
        name = f"{blas or 'the reference BLAS of the mlx wheel'}, {threads.count()} thread{'s'[:threads.count() > 1]}"
        _started = Backend("cpu", name, blas is not None)
    return _started


def describe() -> str:
    """One line: the device, the BLAS in use, and what to install where it is the slow one."""
    return str(start())
