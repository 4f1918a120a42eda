"""What can be wrong with a parameter that several layers share?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from isograd.changes.change import Circumstances
from isograd.changes.instead import instead
from isograd.changes.places import AtLayer, layer_of
from isograd.inputs import Array
from isograd.ops.op import Back, Layer, Op, Out
from isograd.scenario import Scenario


@dataclass(frozen=True)
class ShareLeftOut(AtLayer):
    """Of a shared parameter's gradient, which is a sum over the layers that use it, one layer's part is missing."""

    id = "share_left_out"
    sentence = "the gradient of what {at} shares lacks the part that comes of {at}"
    formula = "∂L/∂W = Σ of its uses, «but one»"
    origin = "a weight that is detached, or a constant, at one of its uses"

    @classmethod
    def places(cls, scenario: Scenario) -> list[str]:
        """Layers that share a parameter, and those whose it is."""
        return [*dict.fromkeys(layer_of(key) for pair in scenario.shared.items() for key in pair)]

    def touches(self, scenario: Scenario) -> frozenset[str]:
        """The gradients of what its layers share."""
        return frozenset(
            f"grad/{pair[1]}" for pair in scenario.shared.items() if any(self.is_at(layer_of(k)) for k in pair)
        )

    def op(self, run: Circumstances, op: Op) -> Any:
        """0 for the gradients of what is shared."""
        if not (isinstance(op, Layer) and self.here(op)):
            return op
        shared = {key for pair in run.scenario.shared.items() for key in pair}

        def backward(p: Any, out: Out, d: Array, *x: Array) -> Back:
            back = op.backward(p, out, d, *x)
            parts = {name: 0 * g if f"{op.name}.{name}" in shared else g for name, g in back.params.items()}
            return Back(*back.inputs, **parts)

        return instead(op, backward=backward)
