"""How is each schedule built in PyTorch?"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from isograd.backends.pytorch.rows.row import ScheduleRow, torch


def _of(name: str, **settings: str) -> Callable[[Any, Any, int], Any]:
    """A class of PyTorch's, with its names of our settings."""

    def build(op: Any, optimizer: Any, last: int) -> Any:
        options = {theirs: getattr(op, ours) for theirs, ours in settings.items()}
        return getattr(torch.optim.lr_scheduler, name)(optimizer, **options)

    return build


def _cosine(op: Any, optimizer: Any, last: int) -> Any:
    lr_scheduler = torch.optim.lr_scheduler
    cosine = lr_scheduler.CosineAnnealingLR(optimizer, T_max=last - op.warmup, eta_min=op.floor)
    if not op.warmup:
        return cosine
    line = lr_scheduler.LinearLR(optimizer, start_factor=op.start, total_iters=op.warmup)
    return lr_scheduler.SequentialLR(optimizer, [line, cosine], milestones=[op.warmup])


def _polynomial(op: Any, optimizer: Any, last: int) -> Any:
    return torch.optim.lr_scheduler.PolynomialLR(optimizer, total_iters=last, power=op.power)


def _linear(op: Any, optimizer: Any, last: int) -> Any:
    return torch.optim.lr_scheduler.LinearLR(optimizer, op.start, op.end, total_iters=last)


def _warmup(op: Any, optimizer: Any, last: int) -> Any:
    if not op.start:  # which `LinearLR` refuses
        return torch.optim.lr_scheduler.LambdaLR(optimizer, lambda n: n / op.steps)
    return torch.optim.lr_scheduler.LinearLR(optimizer, op.start, total_iters=op.steps)


def _inverse_square_root(op: Any, optimizer: Any, last: int) -> Any:
    def factor(n: int) -> float:  # as it stands in *The Annotated Transformer*: PyTorch has no class of it
        k = n + op.first
        return float(min(k**-0.5, k * op.warmup**-1.5) * op.warmup**0.5) if k else 0.0

    return torch.optim.lr_scheduler.LambdaLR(optimizer, factor)


def _one_cycle(op: Any, optimizer: Any, last: int) -> Any:
    return torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        max_lr=_rates(optimizer),
        total_steps=op.steps,
        pct_start=op.rises,
        anneal_strategy="cos" if op.shape == "cosine" else op.shape,
        cycle_momentum=False,
        div_factor=op.start_divisor,
        final_div_factor=op.end_divisor,
    )


def _cyclic(op: Any, optimizer: Any, last: int) -> Any:
    return torch.optim.lr_scheduler.CyclicLR(
        optimizer,
        base_lr=[op.floor * rate / _rates(optimizer)[0] for rate in _rates(optimizer)],
        max_lr=_rates(optimizer),
        step_size_up=op.up,
        step_size_down=op.down,
        cycle_momentum=False,
    )


def _rates(optimizer: Any) -> list[float]:
    return [float(group["lr"]) for group in optimizer.param_groups]


def _floor(op: Any) -> str:
    return "floor" if op.floor else ""


def _table(op: Any, optimizer: Any, last: int) -> Any:
    return torch.optim.lr_scheduler.LambdaLR(optimizer, lambda n: op.factors[n])


class _Told:
    """A schedule that is told a number at every step."""

    def __init__(self, schedule: Any, metrics: tuple[float, ...]) -> None:
        self.schedule, self.metrics = schedule, iter(metrics)

    def step(self) -> None:
        """With the next number."""
        self.schedule.step(next(self.metrics))


def _plateau(op: Any, optimizer: Any, last: int) -> Any:
    options = {"mode": "min" if op.better == "less" else "max", "threshold_mode": op.compared[:3], "eps": op.epsilon}
    options |= {name: getattr(op, name) for name in ("factor", "patience", "threshold", "cooldown")}
    least = [op.floor * rate / _rates(optimizer)[0] for rate in _rates(optimizer)]
    schedule = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, min_lr=least, **options)
    return _Told(schedule, op.metrics)


SCHEDULES: dict[str, ScheduleRow] = {
    "cosine": ScheduleRow(_cosine, common=_floor),
    "cosine_restarts": ScheduleRow(
        _of("CosineAnnealingWarmRestarts", T_0="period", T_mult="times", eta_min="floor"), common=_floor
    ),
    "step": ScheduleRow(_of("StepLR", step_size="every", gamma="factor")),
    "multi_step": ScheduleRow(_of("MultiStepLR", milestones="milestones", gamma="factor")),
    "exponential": ScheduleRow(_of("ExponentialLR", gamma="factor")),
    "polynomial": ScheduleRow(_polynomial, lambda op: f"floor={op.floor:g}" if op.floor else ""),
    "linear": ScheduleRow(_linear),
    "warmup": ScheduleRow(_warmup),
    # `ConstantLR` takes 0 and divides by it later
    "constant": ScheduleRow(
        _of("ConstantLR", factor="factor", total_iters="steps"), lambda op: "" if op.factor else "factor=0"
    ),
    "inverse_square_root": ScheduleRow(_inverse_square_root),
    # `OneCycleLR` divides by the length of the way up
    "one_cycle": ScheduleRow(_one_cycle, lambda op: "" if op.peak else f"rises={op.rises:g}"),
    "cyclic": ScheduleRow(_cyclic),
    "table": ScheduleRow(_table),
    "plateau": ScheduleRow(_plateau, common=lambda op: "epsilon" if op.epsilon else ""),
}
