"""Does the contract suite pass for backends that keep to it, and fail, with the right words, for those that do not?"""

from __future__ import annotations

from collections.abc import Mapping

import pytest

pytest.register_assert_rewrite("harness.contract")
from harness.contract import *  # noqa: E402, F403  # our own backends are held to what every other is held to

OURS = "tests.saboteurs:"

# Each of these breaks the contract in one way: the one test that must fail for it, and the words that must stand there.
BREACHES = [
    ("NamesUnknownLayer", "test_its_tables_can_be_read", "layers: no layer is called 'convolution'; there are linear,"),
    ("ImportsEarly", "test_its_framework_is_not_imported_before_it_is_used", "importing its file imports mpmath"),
    ("TakesAnything", "test_an_option_that_it_does_not_have_is_refused", "its __init__ must take the options"),
    ("ForgetsVersion", "test_its_environment_tells_the_version", "expected environment() to hold"),
    ("LacksQuantity", "test_every_quantity_of_every_step_is_there", "step() returns no 'grad/hidden.weight'"),
]
