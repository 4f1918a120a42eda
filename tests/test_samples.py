"""Do PyTorch's own samples of its modules train in PaddlePaddle as they do in PyTorch?"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.samples import listed, pairs
from tests.samples.found import FOUND, found_of
from tests.samples.listed import Sample
from tests.samples.measure import EXPECTED, FINDING, GREEN, UNSUPPORTED, Checker, checker, sample_in
from tests.samples.sides import WAYS, weights

pytestmark = pytest.mark.nightly

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def processes() -> Iterator[Checker]:
    for framework in ("torch", "paddle"):
        pytest.importorskip(framework)
    if why := listed.available():
        pytest.skip(f"no samples: {why}")
    with checker() as of:
        yield of


def kinds(processes: Checker, *modules: str) -> dict[str, str]:
    samples = [sample for module in modules for sample in listed.samples_of(module)]
    return {row.sample.name: row.kind for row in processes.rows(samples)}


def test_what_both_define_alike_is_green(processes: Checker) -> None:
    found = kinds(processes, "Linear", "Conv1d", "AdaptiveAvgPool2d", "GELU", "GRUCell", "SmoothL1Loss")
    assert set(found.values()) == {GREEN}
    assert len(found) == 25


def test_what_is_defined_otherwise_is_expected_and_what_is_a_defect_is_found(processes: Checker) -> None:
    found = kinds(processes, "BatchNorm1d")
    assert found == {
        "BatchNorm1d_0": EXPECTED,
        "BatchNorm1d_1": EXPECTED,
        "BatchNorm1d_2": UNSUPPORTED,
        "BatchNorm1d_3": EXPECTED,
        "BatchNorm1d_4": UNSUPPORTED,
        "BatchNorm1d_5": EXPECTED,
        "BatchNorm1d_6": GREEN,
        "BatchNorm1d_7": FINDING,
    }


# ---------------------------------------------------------------- without a framework


def test_every_finding_is_written_down() -> None:
    headings = {line.removeprefix("## ") for line in (ROOT / "docs" / "found.md").read_text("utf-8").splitlines()}
    assert [found.heading for found in FOUND if found.heading not in headings] == []


def test_a_finding_is_one_of_its_own_quantities_only() -> None:
    sample = Sample("BatchNorm2d", 6, "")
    found = found_of(sample, "grad/of.BatchNorm2d_6.layer.weight")
    assert found is not None
    assert "no gradient of its weight" in found.heading
    assert found_of(sample, "forward/of.BatchNorm2d_6.layer") is None


def test_an_argument_without_a_counterpart_is_named() -> None:
    given = {"kernel_size": 3, "stride": 2, "padding": 0, "return_indices": False, "ceil_mode": False}
    arrays = {"x": np.zeros((1, 2, 6, 6))}
    sample = Sample("MaxPool2d", 0, "", given | {"dilation": 2}, ({"array": "x"},), arrays=arrays)
    with pytest.raises(pairs.Unsupported, match="dilation=2"):
        pairs.layer_of(sample)
    found = pairs.layer_of(Sample("MaxPool2d", 0, "", given | {"dilation": 1}, ({"array": "x"},), arrays=arrays))
    assert (found.cls, found.options["return_mask"], found.way) == ("MaxPool2D", False, "plain")


def test_a_sample_without_a_batch_gets_one() -> None:
    sample = Sample("ZeroPad1d", 0, "", {"padding": 1}, ({"array": "x"},), arrays={"x": np.zeros((2, 3))})
    found = pairs.layer_of(sample)
    assert (found.way, found.about) == ("lifted", {"axes": [0]})
    assert found.way in WAYS


@pytest.mark.parametrize("quantity", ["backward/of.GELU_0.scales.input0", "loss/GELU_0", "forward/of.GELU_0.layer"])
def test_whose_a_quantity_is(quantity: str) -> None:
    assert sample_in(quantity) == "GELU_0"


def test_no_two_numbers_of_an_output_count_alike() -> None:
    assert len(np.unique(weights((4, 5)))) == 20
    assert weights(()).shape == ()
