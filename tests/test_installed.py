"""Is what is installed one package, which takes no name from a user's project, and no module either?"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import venv
import zipfile
from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path, PurePosixPath

import pytest
from packaging.version import Version

from isograd.backend import backend_class, backend_names
from isograd.contract import modules_of
from tests.conftest import REFERENCE
from tests.test_architecture import INSTALLED, ROOT

SOURCE = ("pyproject.toml", "setup.py", "README.md", "LICENSE", "NOTICE")  # beside the folders, what a build reads
NO_PLUGINS = ("-p", "no:hypothesispytest", "-p", "no:xdist", "-p", "no:cacheprovider")
CLEAN = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PYTEST", "COLUMNS"))}
PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check")
TEXT = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True, "env": CLEAN}

# Modules that a project may have, whatever is installed: of the names of our folders, and of one that begins like ours.
FREE = ("harness.py", "backends/__init__.py", "scenarios/__init__.py", "isograd_something.py")
# And such as would hide a framework or a module of Python's own, were the project's folder searched before them.
OTHERS = [backend_class(name).distribution for name in backend_names() if name != REFERENCE]
FRAMEWORKS = [f"{module}.py" for distribution in OTHERS for module in modules_of(distribution)]
HIDING = ("random.py", "numpy.py", *FRAMEWORKS)
NAMES = [PurePosixPath(name).parts[0].removesuffix(".py") for name in FREE]
Python = Callable[..., str]


def test_in_the_repository_it_is_imported_from_the_folders() -> None:
    for folder, name in INSTALLED.items():
        code = f"import {name}; print({name}.__file__)"
        done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
        assert Path(done.stdout.strip()).samefile(ROOT / folder / "__init__.py")


# ---------------------------------------------------------------- the wheel


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy: a build leaves a folder behind, from which the next one would take files that are gone."""
    copy, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for folder in INSTALLED:
        shutil.copytree(ROOT / folder, copy / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for name in SOURCE:
        shutil.copy(ROOT / name, copy)
    there = ["--no-build-isolation", "--no-index"] if _setuptools_is_new_enough() else []
    done = subprocess.run([*PIP, "wheel", "-q", "--no-deps", *there, "-w", str(out), str(copy)], **TEXT)
    if done.returncode:
        why = f"no wheel could be built; without setuptools ≥ 77 pip must reach its registry: {done.stdout[-1000:]}"
        pytest.fail(why) if there or os.environ.get("CI") == "true" else pytest.skip(why)
    return next(out.glob("*.whl"))


def _setuptools_is_new_enough() -> bool:
    try:
        return Version(version("setuptools")) >= Version("77")
    except PackageNotFoundError:
        return False


def test_a_wheel_holds_every_file_of_the_folders_and_nothing_else(wheel: Path) -> None:
    names = {PurePosixPath(name) for name in zipfile.ZipFile(wheel).namelist()}
    inside = {name for name in names if not name.parts[0].endswith(".dist-info")}
    expected = {
        PurePosixPath(package.replace(".", "/")) / path.relative_to(ROOT / folder).as_posix()
        for folder, package in INSTALLED.items()
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    assert inside == expected
    assert {name.parts[0] for name in inside} == {"isograd"}
    assert PurePosixPath("isograd/py.typed") in inside  # mypy and editors read the types


# ---------------------------------------------------------------- installed, in somebody's project


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of programs of an environment where the wheel is installed, and all that it needs is found."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False)
    programs = folder / ("Scripts" if os.name == "nt" else "bin")
    subprocess.run([*PIP, "--python", str(programs / "python"), "install", "-q", "--no-deps", str(wheel)], check=True)
    code = "import sysconfig; print(sysconfig.get_path('purelib'))"
    told = subprocess.run([programs / "python", "-c", code], **TEXT, check=True).stdout.strip()
    needed = [path for path in sys.path if Path(path).name in ("site-packages", "dist-packages")]
    Path(told, "needed.pth").write_text("\n".join(needed) + "\n")
    return programs


MINE = """
import os
if "ISOGRAD_TEST_MINE" not in os.environ:
    raise ImportError("{name} is the project's, and nothing of isograd's or of its backends'")
"""


@pytest.fixture
def project(tmp_path: Path, installed: Path) -> Python:
    """Runs a program of the environment in a project with modules of its own, and gives what it printed."""

    def run(*command: str, own: Sequence[str] = FREE, mine: bool = False) -> str:
        for name in own:
            path = tmp_path / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(MINE.format(name=name))
        settings = TEXT | {"env": CLEAN | ({"ISOGRAD_TEST_MINE": "1"} if mine else {})}
        done = subprocess.run([installed / command[0], *command[1:]], cwd=tmp_path, **settings)
        assert done.returncode == 0, done.stdout
        return str(done.stdout)

    return run


SCRIPT = """
from isograd import run
if __name__ == "__main__":
    print(*run("article/worked_backprop").summary.verdict)
"""


def test_a_script_beside_such_modules_runs_every_backend(project: Python, tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)  # what the script itself imports, NumPy for one, it must not hide
    verdicts = set(project("python", "script.py", own=(*FREE, *FRAMEWORKS)).split())
    assert "IDENTICAL" in verdicts <= {"IDENTICAL", "EQUIVALENT"}


def test_the_command_runs_among_such_modules(project: Python) -> None:
    said = project("isograd", "run", "article/worked_backprop", "--backends", REFERENCE, own=(*FREE, *HIDING))
    assert "IDENTICAL" in said


def test_the_module_is_the_command(project: Python) -> None:
    said = project("python", "-m", "isograd", "list", own=(*FREE, *HIDING))
    assert all(name in said for name in ("article/worked_backprop", *backend_names()))


def test_the_names_are_the_projects_own(project: Python, tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(f"import isograd.api, {', '.join(NAMES)}\nprint({NAMES[0]}.__file__)")
    assert Path(project("python", "script.py", mine=True).strip()).is_relative_to(tmp_path)


TESTS = """
from isograd import assert_equivalent

def test_agrees(isograd_backend):
    assert_equivalent("article/worked_backprop", backends=[isograd_backend], mode="free")
"""


def test_tests_there_may_use_the_plugin(project: Python, tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(TESTS)
    said = project("python", "-m", "pytest", *NO_PLUGINS, "--isograd-backends", REFERENCE)
    assert "1 passed" in said


def test_tests_there_may_leave_the_plugin_alone(project: Python, tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(f"import {', '.join(NAMES)}\ndef test_it(): pass\n")
    assert "1 passed" in project("python", "-m", "pytest", *NO_PLUGINS, mine=True)


def test_the_contract_is_found_by_its_name(project: Python) -> None:
    options = ("--pyargs", "isograd.contract", "--isograd-backends", REFERENCE, "-k", "its_tables_can_be_read")
    assert "1 passed" in project("python", "-m", "pytest", *NO_PLUGINS, *options)
