"""Can any scenario, as plain data or as the text of a file, end in anything but a run or a clear refusal?"""

from __future__ import annotations

import tempfile
import time
import traceback
from pathlib import Path
from typing import Any

import numpy as np

from isograd.backends.numpy_manual import NumpyBackend
from isograd.errors import IsogradError, ScenarioError
from isograd.estimate import check_size, estimate
from isograd.findings import check_source, findings, published_trace
from isograd.inputs import fingerprint, make_inputs
from isograd.loading import CATALOGUE, catalogue_names, load_scenario, parse_scenario
from isograd.quantities import quantity_shapes
from isograd.recorder import record_here
from isograd.scenario import Scenario
from isograd.trace import MODES
from tests.soak.mutate import mutate, mutate_text

tries = 0
LINE = 400  # characters that a message may have for a mistake
SMALL = 1e5  # bytes of a trace that is really recorded here

TEXTS = {name: (CATALOGUE / f"{name}.toml").read_text("utf-8") for name in catalogue_names()}
RAWS: list[dict[str, Any]] = []
for name in catalogue_names():
    raw = load_scenario(name).model_dump(mode="json")
    RAWS += [raw | {"epochs": min(raw["epochs"], 2)}]
SOURCE = {
    "findings": [
        {
            "id": "slip",
            "section": "1",
            "text": "t",
            "explains": [{"quantity": "loss", "index": [0, 0]}, {"quantity": "loss"}],
            "evidence": [
                {"label": "a", "quantity": "loss", "step": -1},
                {"label": "b", "rule": "relu", "at": 0.0},
                {"label": "c", "epoch_loss": "mean", "epoch": 1},
            ],
        }
    ],
    "expect": {"verdict": "DIVERGES", "first": "loss", "step": 0, "reason": "because"},
    "published": [{"quantity": "lr", "step": 0, "section": "1", "values": [["0.5"]]}],
}
RAWS += [raw | SOURCE for raw in RAWS[:3]]


def use(scenario: Scenario) -> None:
    """All that is done with a scenario before a backend sees it, and what a backend does where it is small."""
    size = estimate(scenario, MODES, 1, "*", ["numpy"])
    check_size([scenario], MODES, 1, "*", ["numpy"])
    if size.bytes > SMALL or size.steps > 50:
        return
    inputs = make_inputs(scenario)
    check_source(scenario, inputs)
    fingerprint(scenario, inputs)
    quantity_shapes(scenario)
    scenario.model_dump_json()
    with np.errstate(all="ignore"):
        trace = record_here(NumpyBackend(), "numpy", scenario, inputs)
        findings(scenario, inputs, trace, {"numpy": trace})
        if scenario.published:
            published_trace(scenario, "free", trace)


def try_data(rng: np.random.Generator) -> str:
    raw = mutate(RAWS[rng.integers(len(RAWS))], rng)
    return _outcome(lambda: use(parse_scenario(raw, "f.toml")))


def try_text(rng: np.random.Generator, folder: Path) -> str:
    text = TEXTS[list(TEXTS)[rng.integers(len(TEXTS))]]
    path = folder / "x.toml"
    path.write_bytes(mutate_text(text, rng))
    return _outcome(lambda: use(load_scenario(path)))


def _outcome(work: Any) -> str:
    """ "" for a run or a refusal that is clear; otherwise what came instead."""
    try:
        work()
    except ScenarioError as error:
        long = [line for line in str(error).splitlines() if len(line) > LINE]
        return f"a message of {len(long[0])} characters: {long[0][:200]}" if long else ""
    except IsogradError:
        return ""
    except Exception:  # noqa: BLE001  # that is what is looked for
        return traceback.format_exc()
    return ""


def campaign(seconds: float, count: int, seed: int) -> list[str]:
    """What went wrong in so many tries, or in so much time."""
    global tries
    rng = np.random.Generator(np.random.PCG64(seed))
    end, failures = time.monotonic() + seconds, []
    with tempfile.TemporaryDirectory(prefix="isograd-soak-") as name:
        for i in range(count):
            if time.monotonic() > end:
                break
            tries += 1
            said = try_data(rng) if i % 2 else try_text(rng, Path(name))
            failures += [said] if said else []
    return failures


def main(seconds: float) -> int:
    """As many as the time is enough for; the number of failures."""
    failures = campaign(seconds, 10**9, seed=int(time.time()))
    for said in failures[:20]:
        print(said)
    return len(failures)
