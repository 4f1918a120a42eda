"""What does a scenario's source say: its printed numbers, its slips, and the divergence that it leads to?"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, StringConstraints, model_validator

from isograd.spec import Count, Index, Number, Quantity, Spec, Step, rectangular

Printed = Annotated[str, StringConstraints(pattern=r"^[+-]?[0-9]{1,60}(\.[0-9]{1,60})?$")]


class Published(Spec):
    """Numbers printed in the source, as strings, so that their precision is kept: "0.9998" has four decimals."""

    quantity: Quantity
    step: Step = 0
    section: str
    values: Annotated[tuple[tuple[Printed, ...], ...], Field(min_length=1), BeforeValidator(rectangular)]


class Evidence(Spec):
    """One number that a finding is shown by: an element of a quantity, a layer's rule at a point, an epoch's loss."""

    label: str
    quantity: Quantity | None = None
    step: Index = 0
    index: tuple[Index, ...] = ()
    rule: Literal["sigmoid", "relu"] | None = None
    at: Number | None = None
    epoch_loss: Literal["last", "mean"] | None = None
    epoch: Count | None = None

    @model_validator(mode="after")
    def _is_of_one_kind(self) -> Self:
        kinds = [self.quantity is not None, None not in (self.rule, self.at), None not in (self.epoch_loss, self.epoch)]
        if sum(kinds) != 1:
            raise ValueError("expected one of: quantity (with step, index); rule with at; epoch_loss with epoch")
        return self


class Element(Spec):
    """One printed number, by quantity and index; without an index, all that were printed of the quantity."""

    quantity: Quantity
    index: tuple[Step, Step] | None = None


class Finding(Spec):
    """Something that a careful reader notices in the source; ``explains`` lists the printed numbers that it covers."""

    id: Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]+$")]
    section: str
    text: str
    explains: tuple[Element, ...] = ()
    evidence: tuple[Evidence, ...] = ()


class Expect(Spec):
    """The divergence that a scenario exists to show; where it does not show, the cell is STALE."""

    verdict: Literal["DIVERGES"]
    first: Quantity
    step: Step
    reason: str
