"""The lock and the declared dependencies, checked as files: nothing is installed and nothing fetched."""

import ast
import importlib.metadata
import re
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
LOCK = (ROOT / "requirements.lock").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
LINUX = {"sys_platform": "linux", "platform_system": "Linux", "platform_machine": "x86_64"}
MAC = {"sys_platform": "darwin", "platform_system": "Darwin", "platform_machine": "arm64"}


def entries():
    """The lock's requirements, each with its number of hashes."""
    blocks = re.split(r"\n(?=\S)", LOCK.strip())
    return [(Requirement(re.split(r"\s*\\\n", b)[0]), b.count("--hash=sha256:")) for b in blocks
            if not b.startswith("#")]


def environment(platform, python):
    return {**platform, "python_version": python, "python_full_version": f"{python}.0", "extra": "",
            "implementation_name": "cpython", "platform_python_implementation": "CPython", "os_name": "posix"}


def locked(platform, python="3.11"):
    """Name → version of what the lock installs there."""
    there = environment(platform, python)
    kept = [r for r, _ in entries() if r.marker is None or r.marker.evaluate(there)]
    versions = {canonicalize_name(r.name): str(r.specifier).removeprefix("==") for r in kept}
    assert len(versions) == len(kept), "one package twice in one environment"
    return versions


def test_every_requirement_is_one_version_with_hashes():
    assert len(entries()) > 100
    for requirement, hashes in entries():
        assert re.fullmatch(r"==[^,*]+", str(requirement.specifier)), requirement
        assert hashes >= 1, requirement


def test_the_lock_records_no_address():
    assert "://" not in LOCK
    assert not re.search(r"^\s*(-i|-f|--index-url|--extra-index-url|--find-links)\b", LOCK, re.MULTILINE)
    assert all(requirement.url is None for requirement, _ in entries())


@pytest.mark.parametrize("python", PYTHONS)
def test_mlx_comes_as_the_platform_needs_it(python):
    linux, mac = locked(LINUX, python), locked(MAC, python)
    assert {"mlx", "mlx-cpu", "faiss-cpu"} <= linux.keys() and "mlx-metal" not in linux
    assert {"mlx", "mlx-metal"} <= mac.keys() and not {"mlx-cpu", "faiss-cpu"} & mac.keys()


@pytest.mark.parametrize("platform", [LINUX, MAC], ids=["linux", "mac"])
@pytest.mark.parametrize("python", PYTHONS)
def test_the_core_is_free_of_torch_and_cuda(platform, python):
    unwanted = re.compile(r"torch|nvidia|cuda|mlx-cuda|tensorflow|jax")
    assert not [name for name in locked(platform, python) if unwanted.match(name)]


@pytest.mark.parametrize("platform", [LINUX, MAC], ids=["linux", "mac"])
@pytest.mark.parametrize("python", PYTHONS)
def test_the_lock_holds_what_the_project_declares(platform, python):
    """Fails where pyproject.toml was changed and `make lock` forgotten."""
    there, versions = environment(platform, python), locked(platform, python)
    extras = PROJECT["optional-dependencies"]
    for requirement in map(Requirement, PROJECT["dependencies"] + extras["test"] + extras["build"]):
        if requirement.marker is None or requirement.marker.evaluate(there):
            assert requirement.specifier.contains(versions[canonicalize_name(requirement.name)]), requirement


def imports(path):
    """Names of the packages that a module imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.module.split(".")[0]


def test_every_import_of_the_package_is_declared():
    """What is imported and not declared works only while something else happens to bring it."""
    declared = {canonicalize_name(Requirement(r).name) for r in PROJECT["dependencies"]}
    providers = importlib.metadata.packages_distributions()
    files = [p for room in ("realign", "stages") for p in sorted((ROOT / room).rglob("*.py"))]
    found = {name: path for path in files for name in imports(path)}
    undeclared = {f"{name} in {path.relative_to(ROOT)}" for name, path in found.items()
                  if name not in sys.stdlib_module_names | {"realign", "stages"}
                  and not {canonicalize_name(d) for d in providers.get(name, [])} & declared}
    assert "numpy" in found and not undeclared
