"""What can be wrong with parameters for which the optimizer has other settings?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

from isograd.changes.change import Change, Circumstances
from isograd.scenario import Own, Scenario

ALL = "all of it"
RATE = "rate"
AND = " and "


@dataclass(frozen=True)
class GroupIgnored(Change):
    """Parameters of a group are updated as all others are; or one setting of the group is the others'."""

    id = "group_ignored"
    sentence = "the group of {at} has no {what} of its own"
    formula = "w ← w − η r(g; «the settings of all others»)"
    origin = "parameters handed over in one list; a group's key under another name, which nobody reads"
    needs = ("at",)

    at: str = ""
    what: str = ALL

    @classmethod
    def variants(cls, scenario: Scenario) -> Iterator[Self]:
        """Each group as a whole, and each thing that it has of its own if that is several."""
        for group in scenario.groups:
            at = AND.join(group.parameters)
            things = [*([RATE] if group.rate != 1 else []), *group.settings]
            yield from (cls(at, what) for what in ([ALL, *things] if len(things) > 1 else [ALL]))

    @property
    def where(self) -> str:
        """The group, and what of it."""
        return self.at if self.what == ALL else f"{self.at}: {self.what}"

    def says(self) -> str:
        """Which parameters have what of the others'."""
        if self.what == ALL:
            return f"{self.at} are updated as all other parameters are: their group is ignored"
        return f"{self.at} have the {self.what} of all other parameters, not that of their group"

    def touches(self, scenario: Scenario) -> frozenset[str]:
        """What the updates of the group's parameters compute."""
        keys = [key for of in scenario.of_groups() for key in of.parameters if self._is_of(of)]
        slots = scenario.optimizer.slots()
        return frozenset({f"weight/{key}" for key in keys} | {f"state/{key}.{slot}" for key in keys for slot in slots})

    def own(self, run: Circumstances, key: str, own: Own) -> Own | None:
        """None, or with one thing as all others have it."""
        if not self._is_of(own):
            return own
        if self.what == ALL:
            return None
        if self.what == RATE:
            return own._replace(rate=1.0)
        usual = getattr(run.scenario.optimizer, self.what, None)
        return own._replace(optimizer=own.optimizer.model_copy(update={self.what: usual}))

    def _is_of(self, own: Own) -> bool:
        return AND.join(own.group.parameters) == self.at
