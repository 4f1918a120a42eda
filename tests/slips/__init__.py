"""Ports with one mistake each: what the paddle side of a port in scenarios/ports returns, with the mistake in it.

A file for each port, imported when it is asked for (it imports PaddlePaddle):

    for name, each in slips.of("lenet").items():
        each.program()  # as paddle() of scenarios/ports/lenet/port.py, with the mistake that each.sentence names
"""

import importlib
import importlib.util
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

FOLDER = Path(__file__).resolve().parents[2] / "scenarios" / "ports"
PORTS = (
    "mlp",
    "lenet",
    "resnet18",
    "mobilenet_v3",
    "bert",
    "decoder",
    "lstm_lm",
    "gru_tagger",
    "autoencoder",
    "gan",
)


@dataclass(frozen=True)
class Slip:
    name: str
    sentence: str  # what the mistake is
    port: str  # the folder in scenarios/ports
    first: str  # globs, parted by |: what differs first, named as on the first side
    step: int  # in which step, from 0
    says: str  # regular expression over the sentence of an explanation that names the mistake
    program: Callable[[], Any]  # what paddle() of the port returns, with the mistake


SLIPS: dict[str, dict[str, Slip]] = {port: {} for port in PORTS}


def slip(
    sentence: str, *, port: str, first: str, says: str, step: int = 0, name: str | None = None
) -> Callable[[Callable[[], Any]], Callable[[], Any]]:
    def enter(program: Callable[[], Any]) -> Callable[[], Any]:
        called = name or program.__name__
        assert called not in SLIPS[port], f"two slips are called {port}/{called}"
        SLIPS[port][called] = Slip(called, sentence, port, first, step, says, program)
        return program

    return enter


def of(port: str) -> dict[str, Slip]:
    importlib.import_module(f"{__name__}.{port}")
    return SLIPS[port]


def find(name: str) -> Slip:
    port, _, called = name.partition("/")
    return of(port)[called]


def load(port: str, file: str = "new") -> ModuleType:
    """A file of a port, under a name of its own: ten folders have a new.py."""
    called = f"port_{port}_{file}"
    if called not in sys.modules:
        found = importlib.util.spec_from_file_location(called, FOLDER / port / f"{file}.py")
        module = importlib.util.module_from_spec(found)
        sys.modules[called] = module
        found.loader.exec_module(module)
    return sys.modules[called]
