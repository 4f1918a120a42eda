"""How large is a run, and can this machine hold it? From counts and shapes alone, before anything is allocated."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from isograd.envelope import runs_for
from isograd.errors import ScenarioError
from isograd.quantities import quantity_shapes
from isograd.scenario import GaussianData, InlineData, Scenario
from isograd.trace import Mode

ITEM = {"float16": 2, "bfloat16": 2, "float32": 4, "float64": 8}
WIDE = 8  # bytes of a number of the oracle: float64
ASSUMED = 8 << 30  # bytes of memory, where the system does not say how much it has
LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")  # of a container, v2 and v1
STEP, ELEMENT = 4e-4, 2e-8  # seconds of the oracle a step, and a number of a step in a noisy run; `tests.bench.scale`
LARGE = 0.05  # of the machine's memory; with as much, or
MANY = 10_000  # steps, a run takes so long that one would like to be told beforehand


@dataclass(frozen=True)
class Estimate:
    """The size of a run, in steps and bytes; at the least, where only a data file knows how many samples there are.

    Attributes:
        steps: updates in the whole run.
        recorded: steps of which the quantities are kept, in each mode.
        inputs: data, initial values, and the order of the samples in every epoch.
        trace: what one backend records in one mode.
        traces: what all backends record, in all modes.
        oracle: truth, twin and envelope of every element at every step of every mode; in memory one mode at a time.
        seconds: what the oracle takes, on one core of a server CPU; the backends' own steps come beside it.
    """

    steps: int
    recorded: int
    inputs: int
    trace: int
    traces: int
    oracle: int
    modes: int
    seconds: float

    @property
    def bytes(self) -> int:
        """All of it, in memory and on disk."""
        return self.inputs + self.traces + self.oracle

    @property
    def held(self) -> int:
        """What is in memory at one time at the least: the inputs, the oracle, and a backend's trace."""
        return self.inputs + self.oracle // self.modes + self.trace


def estimate(
    scenario: Scenario, modes: Sequence[Mode], every: int, quantities: str, backends: Sequence[str]
) -> Estimate:
    """The size of a run; nothing is allocated, and no data file is read.

    Args:
        scenario: what is run.
        modes: free, resync or both.
        every: every so many steps are recorded, and the last.
        quantities: globs, parted by commas, of the quantities that are recorded.
        backends: their names.
    """
    samples = _samples(scenario)
    batch = min(scenario.batch_size, samples)
    steps = scenario.epochs * -(-samples // batch)
    recorded = -(-steps // every) + ((steps - 1) % every != 0)
    widest = max(_sizes(scenario, "*", batch))
    whole, initial = _elements(scenario, "*", batch), _elements(scenario, "weight/*", batch)
    data = samples * (scenario.data.features + scenario.data.label_width)
    trace = recorded * _elements(scenario, quantities, batch) * ITEM[scenario.dtype]
    return Estimate(
        steps=steps,
        recorded=recorded,
        inputs=8 * (data + initial + scenario.epochs * samples),
        trace=trace,
        traces=len(backends) * len(modes) * trace,
        oracle=len(modes) * steps * whole * (2 * WIDE + ITEM[scenario.dtype]),
        modes=len(modes),
        seconds=len(modes) * steps * (STEP + ELEMENT * whole * (1 + 2 * runs_for(widest))),
    )


def check_size(
    scenarios: Sequence[Scenario], modes: Sequence[Mode], every: int, quantities: str, backends: Sequence[str]
) -> str:
    """Refuse what this machine cannot hold; of what is merely large, a line that says how large.

    Raises:
        ScenarioError: a scenario for which the memory is not enough, with the estimate, and what to try.
    """
    sizes = [estimate(scenario, modes, every, quantities, backends) for scenario in scenarios]
    there = memory()
    for scenario, size in zip(scenarios, sizes, strict=True):
        if size.held > there:
            raise ScenarioError(
                f"{scenario.name}: {in_words(size.steps)} steps need at least {_bytes(size.held)} of memory: "
                f"{_bytes(size.inputs)} for the inputs, {_bytes(size.trace)} for a trace, {_bytes(size.oracle)} for "
                f"the reference. This machine has {_bytes(there)}. Try fewer epochs or samples, --every K, "
                "or fewer --quantities"
            )
    steps, needed = sum(size.steps for size in sizes), sum(size.bytes for size in sizes)
    if steps < MANY and needed < LARGE * there:
        return ""
    advice = f"; --every {max(2, steps // 1000)} would record fewer" if every == 1 and steps >= MANY else ""
    kept = sum(size.traces for size in sizes)
    seconds = sum(size.seconds for size in sizes)
    words = f"{in_words(steps)} steps, about {_bytes(needed)}, of which {_bytes(kept)} in traces"
    return f"a large run: {words}; the reference alone takes about {seconds:.0f} s{advice}"


def memory() -> int:
    """Bytes of memory that this process may come to have: the machine's, or its container's."""
    try:
        found = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    except (AttributeError, OSError, ValueError):  # Windows has no sysconf
        found = [ASSUMED]
    for name in LIMITS:
        with suppress(OSError, ValueError):  # no container; or "max", without a limit
            found += [int(Path(name).read_text())]
    return min(size for size in found if size > 0)


def in_words(number: int) -> str:
    """A count with three digits, as long as it is; numbers that nobody can grasp as a power of ten.

    Example:
        >>> in_words(1234567), in_words(10**24)
        ('1,230,000', '10^24')
    """
    if number >= 10**15:
        return f"10^{math.log10(number):.0f}"
    return f"{int(float(f'{number:.3g}')):,}"


def _bytes(number: int) -> str:
    for unit in ("bytes", "kB", "MB", "GB", "TB"):
        if number < 1000:
            return f"{number:.3g} {unit}"
        number = number // 1000 if number >= 10**9 else number / 1000  # type: ignore[assignment]
    return f"{in_words(int(number))} PB"


def _samples(scenario: Scenario) -> int:
    """How many samples there are; 1, at the least, where only a file knows."""
    data = scenario.data
    if isinstance(data, InlineData):
        return len(data.x)
    return data.samples if isinstance(data, GaussianData) else 1


def _elements(scenario: Scenario, quantities: str, batch: int) -> int:
    """Numbers of one step."""
    return sum(_sizes(scenario, quantities, batch))


def _sizes(scenario: Scenario, quantities: str, batch: int) -> list[int]:
    """Numbers of each quantity of one step."""
    shapes = quantity_shapes(scenario, quantities).values()
    return [math.prod(batch if axis is None else axis for axis in shape) for shape in shapes]
