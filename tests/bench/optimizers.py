"""What do optimizers come to in a framework that no scenario can ask for? In a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import numpy as np

LIBRARY = "torch"

THERE: dict[str, tuple[str, dict[str, Any]]] = {
    "amsgrad": ("Adam", {"amsgrad": True}),
    "nadam": ("NAdam", {}),
    "adadelta": ("Adadelta", {}),
    "centred rmsprop": ("RMSprop", {"centered": True}),
    "rmsprop with momentum": ("RMSprop", {"momentum": 0.9}),
    "rprop": ("Rprop", {}),
    "adam of 0.5": ("Adam", {"betas": (0.5, 0.999)}),
}
PROGRAM = """
import json, sys
import torch
name, options, w, gradients = json.load(sys.stdin)
p = torch.nn.Parameter(torch.tensor(w, dtype=torch.float64))
optimizer = getattr(torch.optim, name)([p], lr=0.01, **options)
for g in gradients:
    p.grad = torch.tensor(g, dtype=torch.float64)
    optimizer.step()
print(json.dumps(p.tolist()))
"""


def trained(name: str, w: np.ndarray[Any, Any], gradients: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """A parameter after updates by these gradients, (steps, *shape), at a rate of 0.01."""
    said = json.dumps([*THERE[name], w.tolist(), gradients.tolist()])
    done = subprocess.run([sys.executable, "-c", PROGRAM], input=said, capture_output=True, text=True, check=True)
    return np.array(json.loads(done.stdout))
