"""Does the contract suite pass for backends that keep to it, and fail, with the right words, for those that do not?"""

from __future__ import annotations

import pytest

from isograd.contract import *  # noqa: F403  # our own backends are held to what a stranger's is held to

EAGER = """
import mpmath  # a package that nothing else imports this early: it stands for a framework
from tests.saboteurs import Honest

class Eager(Honest):
    distribution = "mpmath"
"""

KEEP_TO_IT = ["tests.outside:Outside", "tests.saboteurs:LacksRelu"]

TABLES, OPTION = "test_its_tables_can_be_read", "test_an_option_that_it_does_not_have_is_refused"
EARLY = "test_its_framework_is_not_imported_before_it_is_used"
VERSION, QUANTITIES = "test_its_environment_tells_the_version", "test_every_quantity_of_every_step_is_there"
SHORT_BATCH, BITS = "test_the_last_batch_may_be_smaller", "test_the_same_run_gives_the_same_bits"
OWN, STATE = "test_a_step_gives_its_own_numbers", "test_a_step_starts_from_the_state_that_was_loaded"
ROWS_AGREE = "test_every_row_agrees_with_the_reference"
CAN = "test_what_it_says_that_it_can_it_does"
OF_THE_CLASS = [TABLES, EARLY, OPTION]
OF_THE_RUN = [VERSION, QUANTITIES, SHORT_BATCH, BITS, OWN, STATE, CAN, ROWS_AGREE]

# Each breaks the contract in one way: the tests that must fail for it, no other, and what the first of them says.
BREACHES_OF_THE_CLASS = {
    "tests.saboteurs:NamesUnknownLayer": (
        [TABLES],
        "NamesUnknownLayer: layers: no layer is called 'convolution'; there",
    ),
    "isograd_test_eager:Eager": ([EARLY], "isograd_test_eager:Eager: importing its file imports mpmath"),
    "tests.saboteurs:TakesAnything": ([OPTION], "TakesAnything[no_such_option=1] was made"),
}
BREACHES_OF_THE_RUN = {
    "tests.saboteurs:ForgetsVersion": ([VERSION], "ForgetsVersion: expected environment() to hold "),
    "tests.saboteurs:LacksQuantity": ([QUANTITIES, ROWS_AGREE], "step() returns no 'grad/hidden.weight'"),
    "tests.saboteurs:TransposesOblong": (
        [QUANTITIES, ROWS_AGREE],
        "grad/output.weight: expected shape (2, 4); got (4, 2); weights and their gradients are (out, in)",
    ),
    "tests.saboteurs:PadsBatches": ([SHORT_BATCH, ROWS_AGREE], "step 2 has 2 samples; expected 2 rows in forward/out"),
    "tests.saboteurs:Unrepeatable": ([BITS, ROWS_AGREE], "two runs differ, first in "),
    "tests.saboteurs:RepeatsStep": ([OWN, STATE], "at step 7 is that of the step before"),
    "tests.saboteurs:IgnoresState": ([STATE], "IgnoresState: load() was given the weight "),
    "tests.saboteurs:LacksReluSilently": ([ROWS_AGREE], "have no row for layer relu, but missing() gives []"),
    "tests.saboteurs:SlightlyScaled": ([ROWS_AGREE], "SlightlyScaled, free: DIVERGES: grad/"),
    "tests.saboteurs:IgnoresGroups": ([CAN], "IgnoresGroups, free: DIVERGES: weight/"),
    "tests.saboteurs:CopiesShared": ([CAN], "CopiesShared, free: DIVERGES: grad/hidden.weight"),
    "tests.saboteurs:CannotStart": (OF_THE_RUN, "CannotStart, free: ERROR: ImportError: libframework.so: cannot open"),
}
BREACHES = BREACHES_OF_THE_CLASS | BREACHES_OF_THE_RUN

SOME = (
    "layer-linear-0-*,layer-relu-*-float32,layer-scale-*-float32"  # a backend that breaks the contract does so in these
)

Outcomes = dict[str, dict[str, list[str]]]
FOUND: Outcomes = {}


@pytest.fixture
def outcomes(pytester: pytest.Pytester) -> Outcomes:
    """By backend and test, what each case said that did not pass. All that is asked here is run once, by the first."""
    if not FOUND:
        pytester.makepyfile(isograd_test_eager=EAGER)
        pytester.syspathinsert()
        FOUND.update(run_the_suite(pytester, KEEP_TO_IT, []))
        FOUND.update(run_the_suite(pytester, list(BREACHES_OF_THE_CLASS), OF_THE_CLASS))
        names = list(BREACHES_OF_THE_RUN)
        for i in range(0, len(names), 5):  # not all at once: every pair of a run's backends is compared
            FOUND.update(run_the_suite(pytester, names[i : i + 5], OF_THE_RUN))
    return FOUND


def run_the_suite(pytester: pytest.Pytester, backends: list[str], tests: list[str]) -> Outcomes:
    """Of these tests only; without any, of all."""
    # hypothesis and the rewriting of assertions cost more than the suite itself, and neither is needed here
    options = ["--assert=plain", "-p", "no:hypothesispytest", "-p", "no:cacheprovider"]
    options += ["-k", " or ".join(tests), "--isograd-backends", ",".join(backends), "--isograd-rows", SOME]
    done = pytester.inline_run("--pyargs", "isograd.contract", *options)
    found: Outcomes = {name: {} for name in backends}
    for report in done.getreports("pytest_runtest_logreport"):
        test, _, parameters = report.nodeid.rpartition("::")[2].partition("[")
        backend = next(name for name in backends if name in parameters)
        said = [] if report.passed else [f"{report.outcome}: {report.longreprtext}"]
        found[backend].setdefault(test, []).extend(said)
    return found


def failures(outcomes: Outcomes, backend: str) -> dict[str, list[str]]:
    """By test, what the cases that failed said."""
    bad = {test: [text for text in said if text.startswith("failed")] for test, said in outcomes[backend].items()}
    return {test: said for test, said in bad.items() if said}


@pytest.mark.nightly
def test_all_tests_of_the_contract_are_known_here(outcomes: Outcomes) -> None:
    assert sorted(outcomes[KEEP_TO_IT[0]]) == sorted([*OF_THE_CLASS, *OF_THE_RUN])


@pytest.mark.nightly
@pytest.mark.parametrize("backend", KEEP_TO_IT)
def test_a_backend_from_outside_passes(outcomes: Outcomes, backend: str) -> None:
    assert failures(outcomes, backend) == {}


@pytest.mark.nightly
def test_a_row_that_a_backend_lacks_is_skipped_with_the_reason(outcomes: Outcomes) -> None:
    said = outcomes["tests.saboteurs:LacksRelu"][ROWS_AGREE]
    assert len(said) == 1
    assert all("Skipped: tests.saboteurs:LacksRelu: no row for layer relu" in text for text in said)


@pytest.mark.nightly
@pytest.mark.parametrize("backend", BREACHES)
def test_a_breach_fails_the_tests_that_it_should(outcomes: Outcomes, backend: str) -> None:
    tests, words = BREACHES[backend]
    bad = failures(outcomes, backend)
    assert list(bad) == tests
    assert words in bad[tests[0]][0]
