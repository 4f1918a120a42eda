"""Does a user's own model, ported to another framework, train as the original does?"""

from isograd.ports.checking import check
from isograd.ports.result import Cell, Checked, Result

__all__ = ["Cell", "Checked", "Result", "check"]
