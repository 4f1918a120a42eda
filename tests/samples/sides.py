"""The two sides of many samples at once: each is a branch of one model, with a loss of its own."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from isograd.framework import flattened
from isograd.inputs import Array
from tests.samples.listed import Sample
from tests.samples.pairs import Layer

RATE = 1e-5
"""Small, so that probabilities stay probabilities, and what is exponential does not overflow."""


def keep(folder: Path, pairs: Sequence[tuple[Sample, Layer]]) -> None:
    """Write samples with their counterparts, for both sides."""
    told = [
        {
            "name": sample.name,
            "module": sample.module,
            "given": sample.given,
            "inputs": sample.inputs,
            "options": sample.options,
            "scaled": sample.scaled,
            "layer": asdict(layer),
        }
        for sample, layer in pairs
    ]
    arrays = {name: array for sample, _ in pairs for name, array in sample.arrays.items()}
    (folder / "samples.json").write_text(json.dumps(told), "utf-8")
    np.savez(folder / "arrays.npz", **arrays)


def _told(folder: str) -> tuple[list[dict[str, Any]], dict[str, Array]]:
    with np.load(Path(folder) / "arrays.npz") as arrays:
        return json.loads((Path(folder) / "samples.json").read_text("utf-8")), dict(arrays)


def batches(folder: str) -> Iterator[tuple[dict[str, Array], None]]:
    """What the samples are called with, each step again."""
    samples, arrays = _told(folder)
    used = {name for told in samples for name in _names([told["inputs"], told["options"]])}
    while True:
        yield {name: arrays[name] for name in arrays if name in used}, None


def _names(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping) and "array" in value:
        yield value["array"]
    elif isinstance(value, Mapping):
        yield from _names(list(value.values()))
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _names(item)


def _filled(value: Any, of: Callable[[str], Any]) -> Any:
    """With tensors in the place of their names."""
    if isinstance(value, Mapping):
        return of(value["array"]) if "array" in value else {k: _filled(item, of) for k, item in value.items()}
    return tuple(_filled(item, of) for item in value) if isinstance(value, (list, tuple)) else value


def weights(shape: Sequence[int]) -> Array:
    """What each number of an output counts in a branch's loss: no two alike, and of both signs."""
    return np.cos(0.5 + np.arange(int(np.prod(shape)), dtype=np.float64)).reshape(shape)


def step(model: Any, loss: Any, optimizer: Any, batch: tuple[Any, Any]) -> dict[str, Any]:
    """A step with the sum of all branches' losses."""
    for clear in ("zero_grad", "clear_grad"):
        if hasattr(optimizer, clear):
            getattr(optimizer, clear)()
            break
    losses: dict[str, Any] = model(batch[0])
    sum(losses.values()).backward()
    optimizer.step()
    return losses


# ---------------------------------------------------------------- PyTorch


def torch(folder: str) -> dict[str, Any]:
    """The origin."""
    import torch

    nn = torch.nn
    samples, arrays = _told(folder)

    class Scale(nn.Module):
        """Times a parameter that begins as 1, so that there is a gradient of what it gives."""

        def __init__(self, shape: Sequence[int]) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(*shape) if shape else torch.ones(()))

        def forward(self, x: Any) -> Any:
            return x * self.weight

    class Branch(nn.Module):
        def __init__(self, told: Mapping[str, Any]) -> None:
            super().__init__()
            self.told = told
            self.layer = _torch_layer(nn, told["module"], told["given"], lambda name: _as(torch, arrays[name]))
            self.scales = nn.ModuleDict({_key(name): Scale(arrays[name].shape) for name in told["scaled"]})

        def forward(self, x: Mapping[str, Any]) -> Any:
            scaled = dict(x)
            for name in self.told["scaled"]:
                scaled[name] = self.scales[_key(name)](x[name])
            inputs, options = (_filled(self.told[part], scaled.__getitem__) for part in ("inputs", "options"))
            out = flattened(self.layer(*inputs, **options), lambda v: torch.is_tensor(v) and v.is_floating_point())
            return sum((one * torch.as_tensor(weights(one.shape)).to(one.dtype)).sum() for one in out)

    class Branches(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.of = nn.ModuleDict({told["name"]: Branch(told) for told in samples})

        def forward(self, x: Mapping[str, Any]) -> dict[str, Any]:
            return {name: branch(x) for name, branch in self.of.items()}

    model = Branches()
    return {"model": model, "optimizer": torch.optim.SGD(model.parameters(), RATE), "train_step": step}


def _torch_layer(nn: Any, module: str, given: Mapping[str, Any], tensor: Callable[[str], Any]) -> Any:
    def made(value: Any) -> Any:
        if isinstance(value, Mapping) and "module" in value:
            return _torch_layer(nn, value["module"], value["given"], tensor)
        return _filled(value, tensor)

    return getattr(nn, module)(**{name: made(value) for name, value in given.items()})


def _as(framework: Any, array: Array) -> Any:
    """An array as a tensor, floats in the default dtype."""
    if array.dtype.kind == "f":
        array = array.astype(str(framework.get_default_dtype()).rpartition(".")[2])
    return framework.as_tensor(array) if hasattr(framework, "as_tensor") else framework.to_tensor(array)


def _key(name: str) -> str:
    """A parameter's own: names of modules have no dot."""
    return "input" + name.rpartition(".")[2]


# ---------------------------------------------------------------- PaddlePaddle


def paddle(folder: str) -> dict[str, Any]:
    """The port."""
    import paddle

    nn = paddle.nn
    samples, arrays = _told(folder)

    class Scale(nn.Layer):
        def __init__(self, shape: Sequence[int]) -> None:
            super().__init__()
            ones = nn.initializer.Constant(1.0)
            self.weight = self.create_parameter(list(shape), default_initializer=ones)

        def forward(self, x: Any) -> Any:
            return x * self.weight

    class Branch(nn.Layer):
        def __init__(self, told: Mapping[str, Any]) -> None:
            super().__init__()
            self.told, layer = told, told["layer"]
            self.way = WAYS[layer["way"]]
            self.layer = _paddle_layer(nn, layer["cls"], layer["options"], lambda name: _as(paddle, arrays[name]))
            self.scales = nn.LayerDict({_key(name): Scale(arrays[name].shape) for name in told["scaled"]})

        def forward(self, x: Mapping[str, Any]) -> Any:
            scaled = dict(x)
            for name in self.told["scaled"]:
                scaled[name] = self.scales[_key(name)](x[name])
            inputs, options = (_filled(self.told[part], scaled.__getitem__) for part in ("inputs", "options"))
            given = self.way(self.layer, inputs, options, self.told["layer"]["about"])
            out = flattened(given, lambda v: isinstance(v, paddle.Tensor) and v.is_floating_point())
            return sum((one * paddle.to_tensor(weights(one.shape)).astype(one.dtype)).sum() for one in out)

    class Branches(nn.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.of = nn.LayerDict({told["name"]: Branch(told) for told in samples})

        def forward(self, x: Mapping[str, Any]) -> dict[str, Any]:
            return {name: branch(x) for name, branch in self.of.items()}

    model = Branches()
    optimizer = paddle.optimizer.SGD(RATE, parameters=model.parameters())
    return {"model": model, "optimizer": optimizer, "train_step": step}


def _paddle_layer(nn: Any, cls: str, options: Mapping[str, Any], tensor: Callable[[str], Any]) -> Any:
    def made(value: Any) -> Any:
        if isinstance(value, Mapping) and "layer" in value:
            return _paddle_layer(nn, value["layer"], value["options"], tensor)
        return list(value) if isinstance(value, list) else _filled(value, tensor)

    return getattr(nn, cls)(**{name: made(value) for name, value in options.items()})


About = Mapping[str, Any]


def _each(value: Any, change: Callable[[Any], Any]) -> Any:
    """A tensor, or each of several."""
    return tuple(_each(one, change) for one in value) if isinstance(value, (tuple, list)) else change(value)


def _plain(layer: Any, inputs: Any, options: Any, about: About) -> Any:
    return layer(*inputs, **options)


def _lifted(layer: Any, inputs: Any, options: Any, about: About) -> Any:
    """With an axis of one sample, which the result loses again."""

    def at(i: int) -> int:
        return int(about["axes"][min(i, len(about["axes"]) - 1)])

    given = layer(*(_each(one, lambda x, i=i: x.unsqueeze(at(i))) for i, one in enumerate(inputs)), **options)
    if not isinstance(given, (tuple, list)):
        return given.squeeze(at(0)) if given.ndim else given
    return [_each(one, lambda x, i=i: x.squeeze(at(i))) for i, one in enumerate(given)]


def _float_labels(layer: Any, inputs: Any, options: Any, about: About) -> Any:
    *scores, labels = inputs
    return layer(*scores, labels.astype(scores[0].dtype), **options)


def _classes_last(layer: Any, inputs: Any, options: Any, about: About) -> Any:
    scores, labels = (x.moveaxis(1, -1) if x.is_floating_point() else x for x in inputs)
    return layer(scores, labels)


def _cell(layer: Any, inputs: Any, options: Any, about: About) -> Any:
    """The new states: what is given first is one of them again."""
    _, states = layer(*_each(inputs, lambda x: _in(x, about)))
    return _each(states, lambda x: _out(x, about))


def _in(x: Any, about: About) -> Any:
    return x.unsqueeze(0) if about["alone"] else x


def _out(x: Any, about: About) -> Any:
    return x.squeeze(0) if about["alone"] else x


def _kept(mask: Any, padding: Any) -> Any:
    """Which places are seen: PyTorch's masks say which are not."""
    seen = None
    if mask is not None:
        seen = (~mask).reshape([1, -1, *mask.shape[-2:]])
    if padding is not None:
        places = (~padding).reshape([-1, 1, 1, padding.shape[-1]])
        seen = places if seen is None else seen & places
    return seen


def _attention(layer: Any, inputs: Any, options: Any, about: About) -> Any:
    """Its weights are each head's."""
    mask = _kept(options.get("attn_mask"), options.get("key_padding_mask"))
    out, shares = layer(*(_in(x, about) for x in inputs), attn_mask=mask)
    return _out(out, about), _out(shares.mean(1), about)


def _encoder(layer: Any, inputs: Any, options: Any, about: About) -> Any:
    mask = options.get("src_mask", options.get("mask"))
    return _out(layer(_in(inputs[0], about), _kept(mask, options.get("src_key_padding_mask"))), about)


def _decoder(layer: Any, inputs: Any, options: Any, about: About) -> Any:
    masks = [_kept(options.get(f"{of}_mask"), options.get(f"{of}_key_padding_mask")) for of in ("tgt", "memory")]
    return _out(layer(*(_in(x, about) for x in inputs), *masks), about)


def _transformer(layer: Any, inputs: Any, options: Any, about: About) -> Any:
    of = ("src", "tgt", "memory")
    masks = [_kept(options.get(f"{name}_mask"), options.get(f"{name}_key_padding_mask")) for name in of]
    return _out(layer(*(_in(x, about) for x in inputs), *masks), about)


WAYS: Mapping[str, Callable[[Any, Any, Any, About], Any]] = {
    "plain": _plain,
    "lifted": _lifted,
    "float labels": _float_labels,
    "classes last": _classes_last,
    "cell": _cell,
    "attention": _attention,
    "encoder": _encoder,
    "decoder": _decoder,
    "transformer": _transformer,
}
"""How a layer is called with what PyTorch's is called with."""
