"""Which samples show what is written down in `docs/found.md`, where both frameworks are read rightly and differ?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase

from tests.samples.listed import Sample


@dataclass(frozen=True)
class Found:
    """A difference, or a defect, that samples show.

    Attributes:
        heading: of `docs/found.md`.
        modules: whose samples, with commas between them; globs.
        first: the first quantity that differs, without the sample's name; a glob.
        those: which of their samples.
        runs: False for what breaks the process, or what comes after it in the process: it is not run.
    """

    heading: str
    modules: str
    first: str = "*"
    those: Callable[[Sample], bool] = lambda sample: True
    runs: bool = True

    def is_of(self, sample: Sample) -> bool:
        """Whether a sample is one of them."""
        return any(fnmatchcase(sample.module, glob) for glob in self.modules.split(",")) and self.those(sample)


def found_of(sample: Sample, first: str) -> Found | None:
    """What accounts for a sample's first divergence; None where nothing that is written down does."""
    short = first.replace(f"of.{sample.name}.", "")
    return next((found for found in FOUND if found.is_of(sample) and fnmatchcase(short, found.first)), None)


def not_run(sample: Sample) -> Found | None:
    """Why a sample is better not run."""
    return next((found for found in FOUND if not found.runs and found.is_of(sample)), None)


def _ignores(sample: Sample) -> bool:
    return bool(sample.given["ignore_index"] >= 0)


def _smooths_and_ignores(sample: Sample) -> bool:
    return bool(sample.given["label_smoothing"]) and _ignores(sample)


def _is_soft(sample: Sample) -> bool:
    return not sample.is_whole(sample.inputs[1])


def _weighs_soft(sample: Sample) -> bool:
    return _is_soft(sample) and sample.given["weight"] is not None


def _ignores_all(sample: Sample) -> bool:
    labels = sample.arrays[sample.inputs[1]["array"]]
    return bool((labels == sample.given["ignore_index"]).all())


def _is_not_affine(sample: Sample) -> bool:
    return not sample.given["affine"]


def _is_bare(sample: Sample) -> bool:
    return not sample.strange and not sample.given["bias"]


FOUND: tuple[Found, ...] = (
    Found("nll_loss writes outside its memory where a label is ignored", "NLLLoss", those=_ignores, runs=False),
    Found("cross_entropy with label_smoothing ignores no label", "CrossEntropyLoss", those=_smooths_and_ignores),
    Found("cross_entropy of ignored labels alone is 0", "CrossEntropyLoss", "forward/layer", _ignores_all),
    Found("cross_entropy weighs samples where labels are probabilities", "CrossEntropyLoss", those=_weighs_soft),
    Found("cross_entropy takes probabilities to add up to 1", "CrossEntropyLoss", "*/scales.input?*", _is_soft),
    Found("batch_norm without a bias has no gradient of its weight", "BatchNorm*", "grad/layer.weight"),
    Found("group_norm without a weight has a wrong gradient of its input", "GroupNorm", "backward/*", _is_not_affine),
    Found("lp_pool is computed in float32", "LPPool*"),
    Found("softplus, log_sigmoid and mish cancel far below 0", "Softplus,LogSigmoid,Mish"),
    Found("selu's gradient cancels far below 0", "SELU", "backward/*"),
    Found("elu's gradient cancels far below 0", "ELU", "backward/*"),
    Found("a recurrent network without biases ends the process", "RNN,GRU,LSTM", those=_is_bare, runs=False),
    Found("multi_margin_loss subtracts a number of float32", "MultiMarginLoss"),
    Found("soft_margin_loss cancels where it is small", "SoftMarginLoss"),
    Found("binary_cross_entropy cancels where it is small", "BCELoss"),
    Found("gaussian_nll_loss has no gradient of its variance", "GaussianNLLLoss", "grad/scales.input2.weight"),
    Found("kl_div gives 0 where a label is negative", "KLDivLoss", "forward/layer"),
    Found("kl_div has no gradient of its label", "KLDivLoss", "*input1*"),
)
