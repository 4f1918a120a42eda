"""How many of the slips do PaDiff and reprod_log see, used as their own documents tell a user to?

python -m tests.slips.rivals [--port GLOB] [--tool padiff|reprod_log] [--slips GLOB] [--told]

Both are optional: pip install padiff==0.2.0 pyyaml reprod_log==1.0.1 (PaDiff needs PyYAML and does not say so). Neither
is changed: no module is stubbed. The weights are copied by tests/slips/right.py, without isograd; no dropout.

reprod_log: the steps of PaddlePaddle's guide to reproducing papers, each with ReprodDiffHelper.report's defaults (the
mean of the absolute differences, at most 1e-6), all in evaluation mode, with one batch: the output; the loss; the
losses of the first three steps of training (the guide: "two or more"); the learning rate of eight steps. There is no
metric. Recurrent ports train in training mode: PaddlePaddle 3.3.1 raises in evaluation mode ("Tensor holds no memory").
It says which number of the user's is apart, not where in the model.

PaDiff: auto_diff with the loss and three steps of the optimizer, twice: with the tolerances that are its defaults
(rtol 1e-7 upon means), and with those of its README (atol 1e-4 upon elements). Each optimizer is a function, as it
allows, that also steps the schedule or does what the port's own step does after backward. Where definitions are in
another order there is a LayerMap. PaDiff runs forward and backward itself, so of the GAN it sees one pass with the
generator's loss. PADIFF_CUDA_MEMORY=OFF keeps it from Layer.to("cpu"), which fails in PaddlePaddle 3.3.1 upon
recurrent layers.

A slip whose code raises, or whose weights do not fit, is red: a user sees that, too.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.metadata
import importlib.util
import inspect
import io
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from tests import slips

ROOT = Path(__file__).parents[2]
TOOLS = ("reprod_log", "padiff")
STEPS = 3
SETTINGS: dict[str, dict[str, dict[str, Any]]] = {
    "reprod_log": {"": {}},
    "padiff": {"defaults": {}, "as in its README": {"atol": 1e-4, "rtol": 0, "compare_mode": "strict"}},
}
LAST = str(STEPS - 1)
ONLY_LAST = "bp_align, in the last step only"
RECURRENT = ("lstm_lm", "gru_tagger")
Said = tuple[str, str]
"""green, red or none (it does not run), and what was said."""


def numbers(value: Any) -> dict[str, Any]:
    """What a step returns, as arrays."""
    return {key: each.detach().numpy() for key, each in (value if isinstance(value, dict) else {"loss": value}).items()}


def batch(port: str, make: Callable[[Any], Any]) -> tuple[Any, Any]:
    """The first batch."""

    def each(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: make(one) for key, one in value.items()}
        return tuple(make(one) for one in value) if isinstance(value, tuple) else make(value)

    x, y = next(iter(slips.load(port, "port").batches()))
    return each(x), each(y)


def sides(port: str, program: Callable[[], Any], copied: bool = True) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """What both sides return, with the same weights and without dropout."""
    import paddle

    from tests.slips import right

    old = right.parts(right.first_side(port))
    paddle.seed(0)
    new = right.parts(program())
    if copied:
        right.copy(right.pairs(port, old[0], new[0]))
    right.still(old[0], "torch")
    right.still(new[0], "paddle")
    return old, new


def out(model: Any, port: str, x: Any) -> Any:
    """What a model gives."""
    if port == "gan":
        return model(x[1])
    return model(**x) if isinstance(x, dict) else model(*x) if isinstance(x, tuple) else model(x)


def trained(side: str, port: str, returned: tuple[Any, ...], x: Any, y: Any) -> Iterator[dict[str, Any]]:
    """The losses of some steps with one batch."""
    model, loss, optimizer, schedule, own = returned
    for _ in range(STEPS):
        if own is not None:
            yield numbers(own(model, loss, optimizer, (x, y)))
            continue
        value = loss(out(model, port, x), y)
        value.backward()
        optimizer.step()
        optimizer.zero_grad() if side == "torch" else optimizer.clear_grad()
        if schedule is not None:
            schedule.step()
        yield numbers(value)


def rates(returned: tuple[Any, ...], count: int = 8) -> Iterator[float]:
    """The learning rate of each step."""
    _, _, optimizer, schedule, _ = returned
    for _ in range(count):
        yield optimizer.get_lr() if hasattr(optimizer, "get_lr") else optimizer.param_groups[0]["lr"]
        if schedule is not None:
            schedule.step()


def by_reprod_log(port: str, program: Callable[[], Any], options: dict[str, Any]) -> Said:
    """The guide's steps in their order; the first that is apart."""
    import logging

    import numpy as np
    import paddle
    import torch
    from reprod_log import ReprodDiffHelper, ReprodLogger

    made = sides(port, program)
    folder = Path(tempfile.mkdtemp())

    def logged(step: str, of: Callable[[str, tuple[Any, ...], Any, Any], dict[str, Any]]) -> list[str]:
        for (side, make), returned in zip(
            (("torch", torch.from_numpy), ("paddle", paddle.to_tensor)), made, strict=True
        ):
            returned[0].eval()
            if step == "bp_align" and port in RECURRENT:
                returned[0].train()
            logger = ReprodLogger()
            for key, value in of(side, returned, *batch(port, make)).items():
                logger.add(key, np.asarray(value))
            logger.save(str(folder / f"{step}_{side}.npy"))
        helper = ReprodDiffHelper()
        helper.compare_info(*(helper.load_info(str(folder / f"{step}_{side}.npy")) for side in ("torch", "paddle")))
        helper.report(path=str(folder / f"{step}.log"))
        logging.getLogger("root").handlers.clear()  # it adds two more at each report
        told = (folder / f"{step}.log").read_text("utf-8")
        return re.findall(r": ([\w.]+): *\n.*check passed: False", told)

    def forward(_: str, returned: tuple[Any, ...], x: Any, y: Any) -> dict[str, Any]:
        return {"output": out(returned[0], port, x).detach().numpy()}

    def lost(_: str, returned: tuple[Any, ...], x: Any, y: Any) -> dict[str, Any]:
        score = out(returned[0], port, x)
        return numbers(returned[1](score, 0 * score + 1 if port == "gan" else y))

    def backward(side: str, returned: tuple[Any, ...], x: Any, y: Any) -> dict[str, Any]:
        each = enumerate(trained(side, port, returned, x, y))
        return {f"{key}_{number}": value.reshape(-1) for number, found in each for key, value in found.items()}

    for step, of in (("forward", forward), ("loss", lost), ("bp_align", backward)):
        apart = logged(step, of)
        if apart and min(key[-1] for key in apart) != LAST:
            return "red", step
    made = sides(port, program)
    if made[0][4] is None and made[1][4] is None and logged("lr", lambda _, r, x, y: {"lr": [*rates(r)]}):
        return "red", "lr"
    return ("red", ONLY_LAST) if apart else ("green", "")


class Done:
    """In the place of an output or a loss whose backward PaDiff has run."""

    def __getattr__(self, _: str) -> Callable[..., Done]:
        return lambda *args, **kwargs: self

    def __call__(self, *args: Any, **kwargs: Any) -> Done:
        return self

    __add__ = __radd__ = __mul__ = __rmul__ = __truediv__ = __call__


class Ran(Done):
    """In the place of a model that PaDiff has run: its parameters are there."""

    def __init__(self, model: Any) -> None:
        self.parameters = model.parameters


class Kept:
    """In the place of an optimizer: gradients are cleared after the step, as PaDiff wants it, not before backward."""

    def __init__(self, optimizer: Any) -> None:
        self.step = optimizer.step

    def zero_grad(self) -> None:
        """Nothing yet."""


def stepped(side: str, returned: tuple[Any, ...], y: Any) -> Callable[[], None]:
    """What is done after backward."""
    model, _, optimizer, schedule, own = returned

    def run() -> None:
        every = [*optimizer.values()] if isinstance(optimizer, dict) else [optimizer]
        if own is not None and not isinstance(optimizer, dict):
            own(Ran(model), Done(), Kept(optimizer) if side == "torch" else optimizer, (Done(), y))
        else:
            for each in every:
                each.step()
        for each in every:
            if side == "torch":
                each.zero_grad()
            elif own is None or isinstance(optimizer, dict):
                each.clear_grad()
        if schedule is not None:
            schedule.step()

    return run


def layer_map(port: str, old: Any, new: Any) -> Any:
    """What PaDiff cannot pair by the order of definition."""
    from padiff import LayerMap

    given = LayerMap()
    if port == "lstm_lm":
        given.map = {new.lstm: old.rnn}
    if port == "gru_tagger":
        given.map = {new.bigru: old.gru}
    if port == "gan":
        given.map = {new.net_d.norm: old.discriminator.ln}
    if port == "bert":
        given.map = dict(zip(new.encoder.layers, old.layers, strict=True))
        given.ignore(old.decoder)
    if port == "decoder":
        given.ignore(old.lm_head)
    return given


def by_padiff(port: str, program: Callable[[], Any], options: dict[str, Any]) -> Said:
    """auto_diff and what it prints."""
    import paddle
    import torch
    from padiff import auto_diff

    mapped = port in ("lstm_lm", "gru_tagger", "gan", "bert", "decoder")
    old, new = sides(port, program, copied=mapped)

    def named(model: Any, x: Any) -> dict[str, Any]:
        x = x[1] if port == "gan" else x
        names = inspect.signature(model.forward).parameters
        return x if isinstance(x, dict) else dict(zip(names, x if isinstance(x, tuple) else (x,), strict=False))

    def lost(loss: Any, y: Any) -> Callable[[Any], Any]:
        return lambda score: loss(score, 0 * score + 1 if port == "gan" else y)

    (tx, ty), (px, py) = batch(port, torch.from_numpy), batch(port, paddle.to_tensor)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        same = auto_diff(
            new[0],
            old[0],
            (named(new[0], px), named(old[0], tx)),
            options=dict(options),
            layer_map=layer_map(port, old[0], new[0]) if mapped else None,
            loss_fn=[lost(new[1], py), lost(old[1], ty)],
            optimizer=[stepped("paddle", new, py), stepped("torch", old, ty)],
            steps=STEPS,
        )
    told = printed.getvalue()
    if same:
        return "green", ""
    if "Assign weight Failed" in told:
        return "red", "weights: " + next((line for line in told.splitlines() if "Error:" in line), "")
    step = re.findall(r"Train Step (\d+)", told)[-1]
    where = re.search(r"Diff found in (`\w+|loss|model \w+)", told)
    return "red", f"{where.group(1).strip('`') if where else told[-200:]} step {step}"


def inside(port: str, tool: str, names: Sequence[str]) -> None:
    """A line of JSON for each of the names; the right port has none."""
    os.environ["PADIFF_CUDA_MEMORY"] = "OFF"
    sys.path.insert(0, tempfile.mkdtemp())  # where PaDiff puts its logs
    by = importlib.import_module(tool) and {"padiff": by_padiff, "reprod_log": by_reprod_log}[tool]
    from tests.slips import right

    kinds: dict[str, Callable[[], Any]] = {"": lambda: right.program("paddle", port)}
    kinds |= {name: each.program for name, each in slips.of(port).items()}
    for name in names or kinds:
        for setting, options in SETTINGS[tool].items():
            try:
                with contextlib.redirect_stdout(io.StringIO()):
                    said = by(port, kinds[name], options)
            except Exception as error:  # noqa: BLE001
                said = "raised", f"{type(error).__name__}: {error}".replace("\n", " ")[-300:]
            print(json.dumps(["row", name, setting, *said]), flush=True)


def measured(port: str, tool: str, glob: str) -> dict[tuple[str, str], Said]:
    """What is said of each slip with each setting, in one process, and in another from where one died."""
    code = f"from tests import slips; print('\\n' + ' '.join(slips.of({port!r})))"
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    left = ["", *(name for name in found.splitlines()[-1].split() if fnmatchcase(name, glob))]
    rows: dict[tuple[str, str], Said] = {}
    while left:
        command = [sys.executable, "-m", "tests.slips.rivals", "--inside", "--port", port, "--tool", tool, *left]
        ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        for line in ran.stdout.splitlines():
            if line.startswith('["row"'):
                _, name, setting, *said = json.loads(line)
                rows[name, setting] = (said[0], said[1])
        rest = [name for name in left if any((name, setting) not in rows for setting in SETTINGS[tool])]
        if rest:
            last = ran.stderr.strip().splitlines()[-1:] or [""]
            rows |= {(rest[0], setting): ("raised", f"died: {last[0]}"[:300]) for setting in SETTINGS[tool]}
        left = rest[1:]
    return rows


def main() -> None:
    """Print a line for each port, tool and setting."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", default="*")
    parser.add_argument("--tool", choices=TOOLS)
    parser.add_argument("--slips", default="*")
    parser.add_argument("--told", action="store_true")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("names", nargs="*", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.inside:
        inside(asked.port, asked.tool, asked.names)
        return
    for tool in (asked.tool,) if asked.tool else TOOLS:
        missing = [
            name for name in {tool, *(["yaml"] if tool == "padiff" else [])} if not importlib.util.find_spec(name)
        ]
        if missing:
            print(f"{tool}: not installed: pip install padiff==0.2.0 pyyaml reprod_log==1.0.1")
            continue
        print(f"{tool} {importlib.metadata.version(tool)}, which says why: never")
        total: dict[str, list[list[int]]] = {setting: [] for setting in SETTINGS[tool]}
        for port in (port for port in slips.PORTS if fnmatchcase(port, asked.port)):
            rows = measured(port, tool, asked.slips)
            for setting in SETTINGS[tool]:
                told = {name: said for (name, of), said in rows.items() if of == setting}
                total[setting].append(counted(told))
                print(line(port, setting, total[setting][-1], told[""]), flush=True)
                for name, said in told.items() if asked.told else ():
                    print(f"    {name or 'the right port'}: {': '.join(said)}", flush=True)
        for setting, counts in total.items():
            print(line("all", setting, [sum(each) for each in zip(*counts, strict=True)], ("", "")))


def counted(told: dict[str, Said]) -> list[int]:
    """Slips; red, by raising, in the last step only; not run. Right ports; red, in the last step only."""
    right = told[""]
    runs = right[0] != "raised"
    seen = [said for name, said in told.items() if name and said[0] != "green" and runs]
    raised, late = (sum(one(said) for said in seen) for one in (lambda said: said[0] == "raised", last_only))
    missed = 0 if runs else len(told) - 1
    return [len(told) - 1, len(seen), raised, late, missed, int(runs), int(right[0] == "red"), int(last_only(right))]


def last_only(said: Said) -> bool:
    """Green with a step fewer."""
    return said[1] == ONLY_LAST


def line(port: str, setting: str, counts: Sequence[int], right: Said) -> str:
    """The counts in words."""
    of, red, raised, late, missed, runs, false, false_late = counts
    told = f"{red:3} red ({raised} by raising, {late} in the last step only), {missed} not run"
    told += f"; right ports: {runs} run, {false} red ({false_late} in the last step only)"
    return f"{port:13} {setting:17} {of:3} slips: {told}" + (f"  [{': '.join(right)}]" if right[1] else "")


if __name__ == "__main__":
    main()
