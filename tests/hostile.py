"""A backend whose last words would steer a terminal and a spreadsheet."""

from __future__ import annotations

import sys

from isograd.backend import Session
from isograd.inputs import Inputs
from isograd.scenario import Scenario
from tests.saboteurs import Honest

HOSTILE = "=HYPERLINK(1) \x1b[31m\x1b]0;owned\x07 \x9b2J \b\r \u202egpj.exe \u2066x\u2069 \x7f \u2028"


class RaisesHostile(Honest):
    def session(self, scenario: Scenario, inputs: Inputs) -> Session:
        sys.stderr.write(HOSTILE)
        raise RuntimeError(HOSTILE)
