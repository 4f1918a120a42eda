"""Does the contract suite pass for backends that keep to it, and fail, with the right words, for those that do not?"""

from __future__ import annotations

import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

pytest.register_assert_rewrite("harness.contract")
from harness.contract import *  # noqa: E402, F403  # our own backends are held to what a stranger's is held to

ROOT = Path(__file__).parent.parent

EAGER = """
import mpmath  # a package that nothing else imports this early: it stands for a framework
from tests.saboteurs import Honest

class Eager(Honest):
    distribution = "mpmath"

    def environment(self):
        return {"mpmath": mpmath.__version__}
"""

KEEP_TO_IT = ["tests.outside:Outside", "tests.saboteurs:Honest", "tests.saboteurs:LacksRelu"]

# Each breaks the contract in one way. Which tests must fail for it, no other, and the words that the first of them says.
TABLES, EARLY, OPTION = (
    "test_its_tables_can_be_read",
    "test_its_framework_is_not_imported_before_it_is_used",
    "test_an_option_that_it_does_not_have_is_refused",
)
VERSION, QUANTITIES = "test_its_environment_tells_the_version", "test_every_quantity_of_every_step_is_there"
BATCH_END, BITS = "test_the_last_batch_may_be_smaller", "test_the_same_run_gives_the_same_bits"
OWN, STATE = "test_a_step_gives_its_own_numbers", "test_a_step_starts_from_the_state_that_was_loaded"
EVERY_ROW = "test_every_row_agrees_with_the_reference"
BREACHES = {
    "tests.saboteurs:NamesUnknownLayer": ([TABLES], "no layer is called 'convolution'; there are linear, "),
    "isograd_test_eager:Eager": ([EARLY], "importing its file imports mpmath"),
    "tests.saboteurs:TakesAnything": ([OPTION], "its __init__ must take the options that it has"),
    "tests.saboteurs:ForgetsVersion": ([VERSION], "expected environment() to hold "),
    "tests.saboteurs:LacksQuantity": ([QUANTITIES, EVERY_ROW], "step() returns no 'grad/hidden.weight'"),
    "tests.saboteurs:AddsQuantity": ([QUANTITIES, EVERY_ROW], "step() returns 'grad/hidden.scale', which is none of"),
    "tests.saboteurs:TransposesOblong": (
        [QUANTITIES, EVERY_ROW],
        "grad/output.weight: expected shape (2, 3); got (3, 2); weights and their gradients are (out, in)",
    ),
    "tests.saboteurs:TooWide": ([QUANTITIES, EVERY_ROW], "lr: expected float16, the scenario's; got float64"),
    "tests.saboteurs:PadsBatches": ([BATCH_END, EVERY_ROW], "step 2 has 2 samples; expected 2 rows in forward/output"),
    "tests.saboteurs:Unrepeatable": ([BITS, EVERY_ROW], "two runs differ, first in "),
    "tests.saboteurs:RepeatsStep": ([OWN, STATE], "at step 7 is that of the step before"),
    "tests.saboteurs:IgnoresState": ([STATE], "load() was given the weight "),
    "tests.saboteurs:LacksReluSilently": ([EVERY_ROW], "have no row for layer relu, but missing() gives []"),
    "tests.saboteurs:SlightlyScaled": ([EVERY_ROW], "DIVERGES: grad/"),
    "tests.saboteurs:CannotStart": (
        [VERSION, QUANTITIES, BATCH_END, BITS, OWN, STATE, EVERY_ROW],
        "ERROR: ImportError: libframework.so: cannot open shared object file",
    ),
}

Outcomes = dict[str, dict[str, list[str]]]


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> Outcomes:
    """By backend and test, what each case said that did not pass; one run of the suite in processes of their own.

    In groups, since every pair of backends in a run is compared.
    """
    folder = tmp_path_factory.mktemp("contract")
    (folder / "isograd_test_eager.py").write_text(EAGER, encoding="utf-8")
    backends = [*KEEP_TO_IT, *BREACHES]
    found: Outcomes = {}
    for i in range(0, len(backends), 6):
        found |= run_the_suite(folder, backends[i : i + 6])
    return found


def run_the_suite(folder: Path, backends: list[str]) -> Outcomes:
    names = ",".join(backends)
    command = [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider", "--junitxml=said.xml"]
    done = subprocess.run(
        [*command, "--pyargs", "harness.contract", "--isograd-backends", names],
        cwd=folder,
        env=dict(os.environ) | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(folder)])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in (0, 1), done.stdout + done.stderr
    found: Outcomes = {name: {} for name in backends}
    for case in ET.parse(folder / "said.xml").iter("testcase"):
        test, _, parameters = case.attrib["name"].partition("[")
        backend = next(name for name in backends if parameters.startswith((f"{name}-", f"{name}]")))
        found[backend].setdefault(test, [])
        found[backend][test] += [f"{said.tag}: {said.attrib['message']}" for said in case]
    return found


def failed(outcomes: Outcomes, backend: str) -> dict[str, list[str]]:
    """By test, what the cases that failed said."""
    bad = {
        test: [said for said in all_said if not said.startswith("skipped")]
        for test, all_said in outcomes[backend].items()
    }
    return {test: said for test, said in bad.items() if said}


@pytest.mark.parametrize("backend", KEEP_TO_IT)
def test_a_backend_from_outside_passes(outcomes: Outcomes, backend: str) -> None:
    assert outcomes[backend].keys() == {test for test in globals() if test in outcomes[KEEP_TO_IT[0]]}
    assert failed(outcomes, backend) == {}


def test_a_row_that_a_backend_lacks_is_skipped_with_the_reason(outcomes: Outcomes) -> None:
    assert set(outcomes["tests.saboteurs:LacksRelu"][EVERY_ROW]) == {
        "skipped: tests.saboteurs:LacksRelu: no row for layer relu"
    }


@pytest.mark.parametrize("backend", BREACHES)
def test_a_breach_of_the_contract_fails(outcomes: Outcomes, backend: str) -> None:
    tests, words = BREACHES[backend]
    bad = failed(outcomes, backend)
    assert list(bad) == tests
    assert words in bad[tests[0]][0]
    assert backend in bad[tests[0]][0]
