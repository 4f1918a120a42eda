"""Does a user's own model, ported to another framework, train as the original does?"""

from isograd.ports.checking import Cell, Checked, Result, check

__all__ = ["Cell", "Checked", "Result", "check"]
