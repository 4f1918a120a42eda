"""Is the cause named of a mistake in a plain loop? Of all of them: ``python -m tests.mistakes.measure``."""

from __future__ import annotations

import pytest

from isograd import Report, run
from isograd.describe import describe
from tests.mistakes import further, kinds, sixth
from tests.mistakes.kinds import MLP, Kind
from tests.mistakes.loops import FRAMEWORKS

pytestmark = pytest.mark.nightly

TRIED = {
    f"{module.__name__}:{name}": module.KINDS[name]
    for module, names in (
        (kinds, ("L1Term", "DropoutLeftOn", "InputsNormalised", "ActivationInHalf")),
        (further, ("SlopeAtOutput", "LabelsClipped")),
        (sixth, ("InputsShuffledAlone", "WeightNotTransposed")),
    )
    for name in names
}


@pytest.fixture(scope="module")
def mistaken() -> Report:
    lacking = [name for name in FRAMEWORKS if not describe(name).version]
    if lacking:
        pytest.skip(f"the loops are written in {' and '.join(FRAMEWORKS)}; {', '.join(lacking)} is not installed")
    return run(MLP, backends=list(TRIED), mode="resync", repeat=1)


@pytest.mark.parametrize(("name", "kind"), TRIED.items(), ids=[name.partition(":")[2] for name in TRIED])
def test_what_a_person_did_is_said(mistaken: Report, name: str, kind: Kind) -> None:
    account = mistaken.results[0].cells[name, "resync"].account
    assert account is not None
    assert account.causes, account.sentence
    assert any(kind.accepts(trial.sentence) for trial in account.causes), account.sentence
