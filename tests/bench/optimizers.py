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
asked, w, gradients = json.load(sys.stdin)
found = {}
for name, (kind, options) in asked.items():
    p = torch.nn.Parameter(torch.tensor(w, dtype=torch.float64))
    optimizer = getattr(torch.optim, kind)([p], lr=0.01, **options)
    for g in gradients:
        p.grad = torch.tensor(g, dtype=torch.float64)
        optimizer.step()
    found[name] = p.tolist()
print(json.dumps(found))
"""


def trained(w: np.ndarray[Any, Any], gradients: np.ndarray[Any, Any]) -> dict[str, np.ndarray[Any, Any]]:
    """By each of them a parameter after updates by these gradients, (steps, *shape), at a rate of 0.01."""
    said = json.dumps([THERE, w.tolist(), gradients.tolist()])
    done = subprocess.run([sys.executable, "-c", PROGRAM], input=said, capture_output=True, text=True, check=True)
    return {name: np.array(values) for name, values in json.loads(done.stdout).items()}
