"""Is the gradient of a batch the mean of its samples' gradients?"""

from __future__ import annotations

import numpy as np

from isograd.inputs import Batch, Inputs
from isograd.reference import Reference
from isograd.rules import Rules
from isograd.scenario import Scenario
from isograd.trace import Trace


@np.errstate(
    over="ignore", invalid="ignore", divide="ignore"
)  # a run that overflows is for the judge, who can name where
def mean_of_sample_gradients(scenario: Scenario, inputs: Inputs, reference: Reference) -> Trace:
    """What ``grad/…`` must be at every resync step, if a batch's gradient is the mean of its samples' gradients.

    Each sample alone is a batch of one; its gradients come from the reference's rules, at the state of the step. Holds
    for losses that are a mean over the batch, as all of ours are.
    """
    resync, states = reference.truth["resync"], reference.states
    session = Rules(reference.arithmetic).session(scenario, inputs)
    names = [name for name in resync.columns if name.startswith("grad/")]
    means: dict[str, list[np.ndarray]] = {name: [] for name in names}
    for step, (x, y) in enumerate(inputs.batches()):
        samples = []
        for i in range(len(x)):
            session.load(step, {key: column[step] for key, column in states.items()})
            samples.append(session.step(step, Batch(x[i : i + 1], y[i : i + 1])))
        for name in names:
            means[name].append(np.mean([seen[name] for seen in samples], axis=0))
    columns = {name: np.array(rows) for name, rows in means.items()}
    return Trace(columns, resync.steps, resync.manifest)
