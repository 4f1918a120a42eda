"""What does a user leave out of a comparison, and why?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from isograd.errors import IsogradError
from isograd.ports.pairing import Pairing
from isograd.structure import Structure


@dataclass(frozen=True)
class Without:
    """Modules that are not compared, with all that is in them.

    Attributes:
        reasons: by a module's name on either side.
    """

    reasons: Mapping[str, str] = field(default_factory=dict)

    def covers(self, name: str) -> bool:
        """Whether a unit or a parameter is in one of them."""
        return any(f"{name}.".startswith(f"{module}.") for module in self.reasons)

    def quantities(self, names: Iterable[str]) -> list[str]:
        """Those that are left: of a call of a unit as of the unit."""
        return [name for name in names if not self.covers(name.partition("/")[2].partition(":")[0].partition("[")[0])]

    def paired(self, pairing: Pairing) -> Pairing:
        """Without counterparts for what is left out."""
        left = {
            which: tuple(name for name in getattr(pairing, which) if not self.covers(name))
            for which in ("missing", "extra")
        }
        return replace(pairing, missing=left["missing"], extra=left["extra"])

    def known(self, structures: Iterable[Structure]) -> None:
        """That each is a module of some side; a name that is nobody's leaves nothing out.

        Raises:
            IsogradError: one is not.
        """
        units = [unit.name for structure in structures for unit in structure.units]
        for module in self.reasons:
            if not any(f"{unit}.".startswith(f"{module}.") for unit in units):
                some = ", ".join(dict.fromkeys(units[:8]))
                raise IsogradError(f"without: expected a module of a side, such as {some}; got {module}")
