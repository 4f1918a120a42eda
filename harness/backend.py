"""What must a backend give, and how is one found by its name?"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import EntryPoint, PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from isograd.errors import BackendError, BackendUnavailableError
from isograd.lazy import LazyModule
from isograd.registered import ours, registered
from isograd.words import said_of

if TYPE_CHECKING:
    from isograd.inputs import Array, Batch, Inputs
    from isograd.ops.op import Op
    from isograd.scenario import Scenario

__all__ = [
    "Backend",
    "BackendName",
    "Deviation",
    "LazyModule",
    "Session",
    "Target",
    "backend_class",
    "backend_names",
    "find_backend",
    "installed_version",
    "make_backend",
    "parse_name",
    "split_names",
]

GROUP = "isograd.backends"
WRAPPERS = "isograd.wrappers"  # option name → function of a backend and all options, which gives a backend
TABLES = ("layers", "losses", "optimizers", "schedules", "clippings", "dtypes")  # what a Backend says that it has


class Deviation(NamedTuple):
    """A known difference of a backend in one kind of operation, written down.

    Attributes:
        quantity: a glob of what differs, as in "buffer/{op}.running_var"; "{below}" is what feeds the operation.
        reason: what is different, and why.
        versions: of the framework, for which it is known.
        link: where it is documented or reported.
        follows: globs of what differs in consequence, as in "eval/*".
        when: whether it shows, for an operation's settings and a dtype.
        always: it shows whatever the numbers are; otherwise it is not STALE where it does not.
        kept_in: the dtype in which a constant is kept: nothing is further off than that one's rounding makes it; ""
            where the rule itself is another.
    """

    quantity: str
    reason: str
    versions: str = ""
    link: str = ""
    follows: tuple[str, ...] = ()
    when: Callable[[Any, str], bool] = lambda op, dtype: True
    always: bool = True
    kept_in: str = ""


class Session(ABC):
    """One scenario built on one backend, ready to step."""

    @abstractmethod
    def step(self, t: int, batch: Batch) -> Mapping[str, Array]:
        """Train on the batch of step ``t``, counted from 0, and return every quantity of it, in canonical layout.

        Args:
            t: the number of the step.
            batch: samples x, (B, *sample's shape), in the scenario's dtype; labels y likewise, or (B,) classes, int64.

        Returns:
            ``lr`` (), ``loss`` (); ``forward/<layer>`` and ``backward/<layer>``, the latter ∂loss/∂output;
            ``grad/<layer>.<param>``; after the update ``state/<layer>.<param>.<slot>`` of the optimizer,
            ``weight/<layer>.<param>`` and ``buffer/<layer>.<name>``. Where the scenario evaluates, ``eval/<layer>`` and
            ``eval_loss`` of the same batch in evaluation mode, with what the update left. The caller copies what it
            keeps before the next step, so views of live memory are welcome.
        """

    @abstractmethod
    def load(self, t: int, state: Mapping[str, Array]) -> None:
        """Take over a state, as if training had come to step ``t``.

        Args:
            t: the step that comes next.
            state: ``weight/…``, ``state/…`` and ``buffer/…``, each in its canonical layout.
        """


class Backend(ABC):
    """An implementation that can run scenarios; made with the options of its name, as in ``numpy[arithmetic=float64]``.

    The class attributes say what it can do and are read without importing any framework: an operation whose ``kind``
    (or a dtype that) is not in its table is UNSUPPORTED. So is one for which its row, if that has a method
    ``lacks(op)``, names a setting; one in ``without`` is a dtype that it does not have.
    """

    distribution: ClassVar[str]
    """The package on PyPI whose version is the framework's."""
    layers: ClassVar[Mapping[str, Any]]
    losses: ClassVar[Mapping[str, Any]]
    optimizers: ClassVar[Mapping[str, Any]]
    dtypes: ClassVar[Mapping[str, Any]]
    schedules: ClassVar[Mapping[str, Any]] = {}
    clippings: ClassVar[Mapping[str, Any]] = {}
    deviations: ClassVar[Mapping[str, tuple[Deviation, ...]]] = {}
    has_groups: ClassVar[bool] = False
    """Whether groups of parameters can have settings of their own."""
    shares: ClassVar[bool] = False
    """Whether a parameter can be another layer's."""

    @abstractmethod
    def environment(self) -> dict[str, str]:
        """What could change the numbers: versions, threads, flags, device."""

    @abstractmethod
    def session(self, scenario: Scenario, inputs: Inputs) -> Session:
        """Build the scenario's model with its initial values, its loss and its optimizer."""

    def programs(self) -> Mapping[str, Any]:
        """What a program of the atlas may call, by name; a backend without any has no place there.

        Beside the framework's own names: ``t(values)`` and ``draw(*shape)``, tensors that are differentiated by;
        ``grad(y, *x)``, ``vjp(y, *x)``, ``slope(f, *points)``; ``filled(module)``; ``steps(make, n)`` of an optimizer,
        ``rates(make, n)`` of a schedule; ``shapes(module)``; ``plain(tensor)``, an array.
        """
        return {}

    def missing(self, scenario: Scenario) -> list[str]:
        """What the scenario needs and this backend does not have, as in "layer relu"; empty: it is supported."""
        tables = {"layer": self.layers, "loss": self.losses, "optimizer": self.optimizers}
        tables |= {"schedule": self.schedules, "clipping": self.clippings}
        asked = [(word, op, tables[word]) for word, op in scenario.worded()]
        wanted = [(word, op, op.kind in table, _lacking(op, table, scenario.dtype)) for word, op, table in asked]
        lacks = [f"{word} {op.kind}{lacking}" for word, op, is_there, lacking in wanted if lacking or not is_there]
        lacks += [f"dtype {scenario.dtype}"] if scenario.dtype not in self.dtypes else []
        lacks += ["parameters that are shared"] if scenario.shared and not self.shares else []
        lacks += ["groups of parameters"] if scenario.groups and not self.has_groups else []
        return list(dict.fromkeys(lacks))


def _lacking(op: Op, table: Mapping[str, Any], dtype: str) -> str:
    """What a row does not have, in brackets: a setting, or a dtype; "" where there is no row, or nothing is lacking."""
    row = table.get(op.kind)
    if row is None or isinstance(row, type):  # our own tables hold the operations themselves
        return ""
    lacks = getattr(row, "lacks", None)
    word = (callable(lacks) and lacks(op)) or (dtype if dtype in getattr(row, "without", ()) else "")
    return f"[{word}]" if word else ""


@dataclass(frozen=True)
class BackendName:
    """A backend's name taken apart: ``numpy[arithmetic=float64]`` is ("numpy", {"arithmetic": "float64"})."""

    text: str
    base: str
    options: Mapping[str, str]


def parse_name(text: str) -> BackendName:
    """Take ``name``, ``name[option=value,…]`` or ``module:Class`` (with options too) apart; BackendError otherwise."""
    match = re.fullmatch(r"([\w.\-]+(?::[\w.]+)?)(?:\[([^\[\]]*)\])?", text)
    if not match:
        raise BackendError(f"backend {text!r}: expected a name, name[option=value,…] or module:Class")
    pairs = [item.partition("=") for item in (match[2] or "").split(",") if item]
    if any(not key or not value for key, _, value in pairs):
        raise BackendError(f"backend {text!r}: expected options as option=value,…; got [{match[2]}]")
    return BackendName(text, match[1], {key.strip(): value.strip() for key, _, value in pairs})


def split_names(text: str) -> list[str]:
    """Split a list of backends at the commas outside brackets: "numpy[a=1,b=2],torch" is two names."""
    return [name.strip() for name in re.split(r",(?![^\[]*\])", text) if name.strip()]


def backend_names() -> list[str]:
    """Names of all registered backends, in alphabetical order; no backend is imported."""
    return sorted({point.name for point in registered(GROUP)})


@dataclass(frozen=True)
class Target:
    """Where a backend's class is.

    Attributes:
        text: ``module:Class``.
        own: it, and what wraps it, is isograd's own, which may be imported in any process; all else in a child only.
        folder: where a module of somebody else's was found; "" where it is for the child to look.
    """

    text: str
    own: bool
    folder: str = ""


def find_backend(name: str) -> Target:
    """Where the class of a registered name or of ``module:Class`` is; nothing is imported.

    Raises:
        BackendError: no such name, or no such module.
    """
    base = parse_name(name).base
    target = base
    if ":" not in base:
        found = [point.value for point in registered(GROUP) if point.name == base]
        if not found:
            raise BackendError(f"backend {base!r}: expected one of {', '.join(backend_names())}, or module:Class")
        target = next((value for value in found if value in ours(GROUP)), found[0])
    wrapper = _wrapper(name)
    own = target in ours(GROUP) and (wrapper is None or wrapper.value in ours(WRAPPERS))
    return Target(target, True) if own else Target(target, False, _folder(base, target))


def _wrapper(name: str) -> EntryPoint | None:
    """The wrapper that an option of the name asks for; isograd's own before another of its name."""
    options = parse_name(name).options
    points = [point for point in registered(WRAPPERS) if point.name in options]
    return next((point for point in points if point.value in ours(WRAPPERS)), points[0] if points else None)


def _folder(base: str, target: str) -> str:
    """Where this process finds the outermost package: looked for only, so that none of its code is run."""
    top = target.partition(":")[0].partition(".")[0]
    try:
        spec = find_spec(top)
    except (ImportError, ValueError):  # no name of a module; or one that was not imported from anywhere
        spec = None
    if spec is None:
        raise BackendError(f"backend {base!r}: no module {top!r}; is its folder on PYTHONPATH?")
    if not spec.has_location or spec.origin is None:
        return ""
    origin = Path(spec.origin).absolute()
    return str(origin.parent.parent if spec.submodule_search_locations else origin.parent)


def backend_class(name: str, target: str | None = None) -> type[Backend]:
    """The class of a registered name or of ``module:Class``; imports the backend's file, and no framework.

    In any process but a child this is for isograd's own backends: of others use `isograd.describe`.

    Args:
        name: the backend's name.
        target: where its class is, if that is known.

    Raises:
        BackendError: no such name or module, or something that is not a Backend.
        BackendUnavailableError: its file is there, but cannot be imported.
    """
    base = parse_name(name).base
    target = find_backend(name).text if target is None else target
    module, _, attribute = target.partition(":")
    cls = getattr(_import(base, module), attribute, None)
    if not (isinstance(cls, type) and issubclass(cls, Backend)):
        raise BackendError(f"backend {base!r}: expected {target} to be a subclass of isograd.Backend; got {cls!r}")
    lacking = [name for name in ("distribution", *TABLES) if getattr(cls, name, None) is None]
    if lacking:
        raise BackendError(f"backend {base!r}: expected {target} to have the class attribute {lacking[0]!r}")
    if not isinstance(cls.distribution, str) or not cls.distribution:
        raise BackendError(f"backend {base!r}: distribution: expected a package's name; got {cls.distribution!r}")
    return cls


def _import(base: str, module: str) -> Any:
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if error.name and f"{module}.".startswith(f"{error.name}."):
            raise BackendError(f"backend {base!r}: no module {error.name!r}; is its folder on PYTHONPATH?") from None
        raise BackendUnavailableError(f"{module} cannot be imported: {said_of(error, named=False)}") from error
    except Exception as error:  # somebody else's file: whatever it raises is for the report
        raise BackendUnavailableError(f"{module} cannot be imported: {said_of(error)}") from error


def make_backend(name: str, target: str | None = None) -> Backend:
    """The backend of that name, with its options; BackendError for an option that it does not have.

    An option that is the name of a wrapper, as in ``torch[fault=gradient_scale,by=2]``, wraps the plain backend, and
    takes the other options. As for `backend_class`, others' backends are made in a child only.
    """
    cls, options = backend_class(name, target), dict(parse_name(name).options)
    wrapper = _wrapper(name)
    try:
        if wrapper is None:
            return cls(**options)
        made: Backend = wrapper.load()(cls(), options)
        return made
    except (TypeError, ValueError) as error:
        raise BackendError(f"backend {name!r}: {said_of(error, named=False)}") from None


def installed_version(cls: type[Backend]) -> str | None:
    """Version of the framework that a backend stands on, without importing it; None where it is not installed."""
    try:
        return version(cls.distribution)
    except PackageNotFoundError:
        return None
