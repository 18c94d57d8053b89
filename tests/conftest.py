"""Every test process computes on the backend of the real runs, offline, and draws the same random examples."""

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")  # tests run side by side: each on one core

import hypothesis
import pytest

from realign.models import backend

backend.start()  # before anything imports mlx.core

from realign.models import threads  # noqa: E402
from tests.forks import forks  # noqa: E402

threads.use(1)  # else a step's micro-batches would depend on the machine's cores
hypothesis.settings.register_profile("repeatable", deadline=None, derandomize=True, database=None)
hypothesis.settings.load_profile("repeatable")


# Files of about ten seconds or more.
LONG = {"test_adapters.py", "test_checks.py", "test_decide.py", "test_dvc_behaviour.py", "test_faults.py",
        "test_gates.py", "test_memory.py", "test_needs.py", "test_optimise.py", "test_page.py", "test_rates.py",
        "test_release.py", "test_resume.py", "test_run.py"}


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items):
    """The tests of a file run in one process, after one another, and so do files of one group: what they share is made
    once. What takes longest goes first, so that no process is left alone with it at the end: such groups, then the
    files with slow tests and those named in LONG."""
    long = {_group(item) for item in items if item.get_closest_marker("slow") or item.path.name in LONG}
    items.sort(key=lambda item: (not item.get_closest_marker("xdist_group"), _group(item) not in long))
    for item in items:
        if not item.get_closest_marker("xdist_group"):
            item.add_marker(pytest.mark.xdist_group(_group(item)))


def _group(item):
    """Where a test runs: by its mark, else with all that use the project of versions, else with its file."""
    named = item.get_closest_marker("xdist_group")
    shared = "built" if "built" in item.fixturenames else item.nodeid.partition("::")[0]
    return named.args[0] if named else shared


# What `dvc repro` imports only while it runs.
DVC = ("dvc.cli.parser", "dvc.data_cloud", "dvc.lock", "dvc.repo.open_repo", "dvc.repo.plots", "dvc.repo.reproduce",
       "dvc.rwlock", "dvc.utils.strictyaml")


@pytest.fixture(scope="session")
def dvc_forks():
    """`dvc_forks.run(["-m", "dvc", …], cwd, env)`: DVC in a process of its own that has imported it already."""
    with forks(*DVC) as found:
        yield found


TINY = {
    "model_type": "llama", "hidden_size": 16, "num_hidden_layers": 2, "intermediate_size": 32,
    "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 8, "rms_norm_eps": 1e-5, "vocab_size": 48,
    "rope_theta": 10000.0, "max_position_embeddings": 128, "tie_word_embeddings": True,
}
WORDS = ("What is the capital of Peru? The capital of Peru is Lima. Ada has 3 apples and buys 14 more: 17. "
         "Gold is a metal; its symbol is Au. I do not know that. assistant user system")


@pytest.fixture(scope="session")
def tiny():
    """`tiny(seed, **changes)`: an untrained model of a few thousand parameters."""
    from realign.models import build

    return lambda seed=0, **changes: build.create(TINY | changes, seed)


@pytest.fixture(scope="session")
def tiny_config():
    """`tiny_config(**changes)`: the config.json of such a model."""
    return lambda **changes: TINY | changes


@pytest.fixture(scope="session")
def tokenizer_folder(tmp_path_factory):
    """A folder with a tokenizer of ours, trained on a few words."""
    from realign.models import tokenizer

    folder = tmp_path_factory.mktemp("tokenizer")
    tokenizer.save(tokenizer.train([WORDS] * 3 + ["zebra quagga"], 340, 20), folder, 128)
    (folder / "config.json").write_text("{}")
    return folder


@pytest.fixture(scope="session")
def tiny_folder(tiny, tiny_config, tokenizer_folder, tmp_path_factory):
    """A saved model with its tokenizer."""
    from realign.models import build

    folder = tmp_path_factory.mktemp("model")
    build.save(tiny(3, vocab_size=340), tiny_config(vocab_size=340), tokenizer_folder, folder)
    return folder
