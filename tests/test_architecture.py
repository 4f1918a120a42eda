"""Is the code built as it says: imports point left, frameworks stay in their files, and no test names a backend?"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from isograd.backend import backend_class, backend_names
from isograd.contract import modules_of
from tests.conftest import REFERENCE

ROOT = Path(__file__).parent.parent

# The way through the house: a module imports only from those before it, or from its own stage. A name stands for all
# modules below it that have no place of their own. Backends' files stand on the interface, and the reference's rules
# before all that compares with it.
ORDER = [
    "isograd.errors",
    "isograd.words",
    "isograd.lazy",
    "isograd.registered",
    "isograd.watch",
    "isograd.scratch",
    "isograd.visible",
    "isograd.console",
    "isograd.static",
    "isograd.patched",
    "isograd.files",
    "isograd.dtypes",
    "isograd.spec",
    "isograd.source",
    "isograd.arithmetic",
    "isograd.ops",
    "isograd.scenario",
    "isograd.loading",
    "isograd.cases",
    "isograd.labels",
    "isograd.inputs",
    "isograd.graph",
    "isograd.overflow",
    "isograd.quantities",
    "isograd.columns",
    "isograd.trace",
    "isograd.stored",
    "isograd.structure",
    "isograd.parts",
    "isograd.framework",
    "isograd.backend",
    "isograd.rules",
    "isograd.atlas.draws",
    "isograd.atlas.hands",
    "isograd.backends",
    "isograd.changes",
    "isograd.recorder",
    "isograd.floors",
    "isograd.envelope",
    "isograd.estimate",
    "isograd.reference",
    "isograd.identity",
    "isograd.side",
    "isograd.atlas.laws",
    "isograd.atlas.programs",
    "isograd.child",
    "isograd.pipes",
    "isograd.children",
    "isograd.describe",
    "isograd.pool",
    "isograd.measure",
    "isograd.scaled",
    "isograd.comparison",
    "isograd.judging",
    "isograd.thinning",
    "isograd.explanation",
    "isograd.findings",
    "isograd.ports",
    "isograd.assess",
    "isograd.rejudge",
    "isograd.templates",
    "isograd.report",
    "isograd.ports.checking",
    "isograd.plan",
    "isograd.api",
    "isograd.atlas",
    "isograd.calibration",
    "isograd.listing",
    "isograd.pytest_plugin",
    "isograd.contract",
    "isograd.cli",
    "isograd.__main__",
]
PUBLIC = "isograd"  # `harness/__init__.py` gives the public names, each when it is asked for, and so knows them all

# Files that name a framework, or a backend other than the reference, with the reason why they must.
MAY_NAME = {
    "harness/changes/catalogue": "where a mistake usually comes from is often a framework's convention",
    "harness/ops": "an alternative says who defines the operation so",
    "tests/bench": "its timings are ratios to a bare loop in each framework",
    "tests/mistakes": "its loops are written in the frameworks that people make mistakes in",
    "tests/samples": "they are one framework's modules, and what stands for them in the other",
    "tests/slips": "they are mistakes in ports, written in the framework that is ported to",
    "tests/test_architecture.py": "it says what may not be named",
    "tests/test_groups.py": "it says what each framework cannot give to a group",
    "tests/test_port_alternatives.py": "it is about one framework's own functions",
    "tests/test_port_causes.py": "it is about one framework's own functions",
    "tests/test_port_orders.py": "it is about one framework's own functions",
    "tests/test_port_kinks.py": "it is about one framework's own operations",
    "tests/test_port_layouts.py": "a gradient's gradient is asked for as a framework has it",
    "tests/test_port_constants.py": "a user's models hold constants as their framework has them",
    "tests/test_port_memory.py": "a user's models keep things as their framework has them",
    "tests/test_port_noise.py": "it is about one framework's own operations",
    "tests/test_port_options.py": "a port is a program of a framework",
    "tests/test_port_training.py": "a port is a program of a framework",
    "tests/test_ports.py": "a port is a program of a framework",
    "tests/test_samples.py": "it is about the samples of one framework",
    "scenarios/ports": "a port is a program of a framework",
}


def modules(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


INSTALLED = {"harness": "isograd", "backends": "isograd.backends", "scenarios": "isograd.scenarios"}


def name_of(path: Path) -> str:
    folder, *inner = path.relative_to(ROOT).with_suffix("").parts
    return ".".join([INSTALLED.get(folder, folder), *(inner[:-1] if inner[-1] == "__init__" else inner)])


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"), str(path))


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Line and module of every import, of those within functions and for type checkers too."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: write the module's whole name"
            yield node.lineno, str(node.module)


def stage(module: str) -> int:
    """Where in `ORDER` a module stands; −1 for what is not ours."""
    around = [name for name in ORDER if f"{module}.".startswith(f"{name}.")]
    return ORDER.index(max(around, key=len)) if around else -1


OURS = [path for folder in ("harness", "backends") for path in modules(folder)]
SOURCES = [*OURS, *modules("scenarios"), *modules("tests")]


def ids(paths: list[Path]) -> list[str]:
    return [path.relative_to(ROOT).as_posix() for path in paths]


# ---------------------------------------------------------------- which way imports point


@pytest.mark.parametrize("path", OURS, ids=ids(OURS))
def test_every_module_has_its_place(path: Path) -> None:
    assert name_of(path) == PUBLIC or stage(name_of(path)) >= 0, f"{name_of(path)}: put it into ORDER, where it belongs"


def test_every_place_has_its_module() -> None:
    names = {name_of(path) for path in OURS}
    assert [name for name in ORDER if name not in names] == []


@pytest.mark.parametrize("path", [path for path in OURS if name_of(path) != PUBLIC], ids=lambda path: name_of(path))
def test_imports_point_left(path: Path) -> None:
    own = stage(name_of(path))
    right = [f"line {line}: {module}" for line, module in imports(path) if stage(module) > own or module == PUBLIC]
    assert right == []


@pytest.mark.parametrize("path", modules("backends"), ids=lambda path: name_of(path))
def test_backends_know_nothing_of_each_other(path: Path) -> None:
    own = name_of(path).split(".")[:3]
    backends = [module for _, module in imports(path) if module.startswith("isograd.backends.")]
    others = [module for module in backends if module.split(".")[:3] != own]
    assert others == []


@pytest.mark.parametrize("path", SOURCES, ids=ids(SOURCES))
def test_nothing_is_imported_by_the_name_of_its_folder(path: Path) -> None:
    # in the root of the repository that would work, and give a second copy of the module
    found = [f"line {line}: {module}" for line, module in imports(path) if module.partition(".")[0] in INSTALLED]
    assert found == []


# ---------------------------------------------------------------- where frameworks may be named


# The reference's own framework is what everything here is made of.
OTHERS = {name: backend_class(name).distribution for name in backend_names() if name != REFERENCE}
NAMES = {*OTHERS, *OTHERS.values()}


@cache
def framework_modules() -> set[str]:
    """All that may be imported of them; of one that is not installed, its names have to do."""
    return NAMES.union(*(modules_of(distribution) for distribution in OTHERS.values()))


def excused(path: Path) -> bool:
    return any(path.relative_to(ROOT).as_posix().startswith(start) for start in MAY_NAME)


def test_there_are_frameworks_to_look_for() -> None:
    assert {"torch", "paddle"} <= NAMES


@pytest.mark.parametrize("path", SOURCES, ids=ids(SOURCES))
def test_frameworks_are_imported_nowhere_but_lazily_in_their_own_file(path: Path) -> None:
    # `LazyModule("…")` in a backend's file is no import statement
    found = [f"line {n}: {module}" for n, module in imports(path) if module.partition(".")[0] in framework_modules()]
    assert excused(path) or found == []


def test_lazy_modules_are_for_backends_files_only() -> None:
    users = {
        name_of(path)
        for path in OURS
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "LazyModule"
    }
    of_backends = {backend_class(name).__module__ for name in OTHERS}
    others = {user for user in users if not any(user.startswith(module) for module in of_backends)}
    assert others == {"isograd.arithmetic.words"}  # rules are listed without NumPy
    assert all(any(user.startswith(module) for user in users) for module in of_backends)


def named(path: Path) -> Iterator[tuple[int, str]]:
    """Line and text of every name and string of a file, but for docstrings."""
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield node.lineno, node.value
        elif isinstance(node, ast.Name):
            yield node.lineno, node.id
        elif isinstance(node, ast.Attribute):
            yield node.lineno, node.attr
        elif isinstance(node, ast.arg):
            yield node.lineno, node.arg
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.lineno, node.name


NAMELESS = [*modules("harness"), *modules("tests")]


@pytest.mark.parametrize("path", NAMELESS, ids=ids(NAMELESS))
def test_no_other_file_names_a_framework(path: Path) -> None:
    found = [f"line {line}: {text[:60]}" for line, text in named(path) for name in NAMES if name in text.lower()]
    assert excused(path) or found == []


@pytest.mark.parametrize("start", MAY_NAME)
def test_an_excuse_is_needed(start: str) -> None:
    paths = [path for path in SOURCES if path.relative_to(ROOT).as_posix().startswith(start)]
    assert any(name in text.lower() for path in paths for _, text in named(path) for name in NAMES)


# ---------------------------------------------------------------- what else is kept to


def test_pytest_is_imported_by_the_plugin_and_the_contract_only() -> None:
    users = {name_of(path) for path in OURS if any(module == "pytest" for _, module in imports(path))}
    assert users == {"isograd.pytest_plugin", "isograd.contract"}


@pytest.mark.parametrize("path", SOURCES, ids=ids(SOURCES))
def test_no_exception_is_swallowed_unseen(path: Path) -> None:
    bare = [n.lineno for n in ast.walk(tree(path)) if isinstance(n, ast.ExceptHandler) and n.type is None]
    assert bare == []


@pytest.mark.parametrize("path", OURS, ids=ids(OURS))
def test_everything_public_has_a_docstring(path: Path) -> None:
    definitions = ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef
    public = [
        node
        for scope in [tree(path), *(n for n in tree(path).body if isinstance(n, ast.ClassDef) and n.name[0] != "_")]
        for node in scope.body
        if isinstance(node, definitions) and not node.name.startswith("_")
    ]
    assert [node.name for node in public if not ast.get_docstring(node)] == []
    assert ast.get_docstring(tree(path)), "a module's docstring is the question that it answers"


def test_no_pickle_and_no_code_from_data() -> None:
    forbidden = {"pickle", "cloudpickle", "dill", "marshal", "shelve", "joblib"}
    users = [name_of(path) for path in OURS if any(module in forbidden for _, module in imports(path))]
    calls = [
        f"{name_of(path)}: {node.func.id}"
        for path in OURS
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in ("eval", "exec", "compile")
        and name_of(path) != "isograd.atlas.programs"  # which runs this package's own programs, and shows them
    ]
    assert (users, calls) == ([], [])
