"""Are the ports in scenarios/ports right, and does each slip change something where it says so? Without isograd.

python -m tests.slips.right                 each right port: the greatest differences of two steps in float64
python -m tests.slips.right --slips lenet   each slip of a port: what differs first
"""

import argparse
import sys
from fnmatch import fnmatch

import numpy as np

from tests import slips

BERT = [
    (r"attention.query", "self_attn.q_proj"),
    (r"attention.key", "self_attn.k_proj"),
    (r"attention.value", "self_attn.v_proj"),
    (r"attention.dense", "self_attn.out_proj"),
    (r"attention_norm", "norm1"),
    (r"intermediate", "linear1"),
    (r"output_norm", "norm2"),
    (r"output", "linear2"),
]
BUFFERS = {"running_mean": "_mean", "running_var": "_variance"}
SLOTS = {"exp_avg": "moment1", "exp_avg_sq": "moment2", "momentum_buffer": "velocity"}


def first_side(port):
    import torch

    torch.manual_seed(0)
    return program("torch", port)


def program(side, port):
    sys.path.insert(0, str(slips.FOLDER / port))
    for name in ("old", "new"):
        sys.modules.pop(name, None)
    try:
        return getattr(slips.load(port, "port"), side)()
    finally:
        sys.path.pop(0)


def parts(returned):
    if isinstance(returned, dict):
        return tuple(returned.get(key) for key in ("model", "loss", "optimizer", "schedule", "train_step"))
    return (*returned, *[None] * (5 - len(returned)))


def pairs(port, old, new):
    """Modules with weights of their own, in the order in which they are made, or as BERT names them."""
    seen, left = set(), []
    for name, module in old.named_modules():
        own = {id(p) for p in module.parameters(recurse=False)}
        if own - seen:
            left.append((name, module))
        seen |= own
    right = [(name, layer) for name, layer in new.named_sublayers() if list(layer.parameters(include_sublayers=False))]
    right = [
        (name, layer) for name, layer in right if (".cell" not in name and ".0." not in f".{name}.") or own_file(layer)
    ]
    if port != "bert":
        return [(name, module, layer) for (name, module), (_, layer) in zip(left, right, strict=False)]
    layers = dict(new.named_sublayers())
    found = []
    for name, module in left:
        there = name.replace("LayerNorm", "layer_norm").replace("transform_norm", "layer_norm")
        if name.startswith("layers."):
            number, _, inner = name.removeprefix("layers.").partition(".")
            there = f"encoder.layers.{number}.{dict(BERT)[inner]}"
        found.append((name, module, layers.get(there, new if name == "decoder" else None)))
    return [each for each in found if each[2] is not None]


def own_file(layer):
    return not type(layer).__name__.endswith("Cell") and type(layer).__name__ not in ("RNN", "BiRNN")


def weights(name, module, layer):
    """Name on the first side, parameter, parameter, how the array of the first is laid out on the second."""
    there = dict(layer.named_parameters(include_sublayers=False))
    for key, value in module.named_parameters(recurse=False):
        other = there.get("decoder_bias" if key == "bias" and "decoder_bias" in there else key)
        if other is None or (key == "weight" and "decoder_bias" in there):
            continue
        turn = type(module).__name__ == "Linear" and key == "weight"
        yield f"{name}.{key}", value, other, (lambda a: a.T) if turn else (lambda a, o=other: a.reshape(o.shape))


def copy(found):
    import paddle

    for name, module, layer in found:
        for _, value, other, lay in weights(name, module, layer):
            other.set_value(paddle.to_tensor(np.ascontiguousarray(lay(value.detach().numpy()))))


def in_float32(model):
    """PaddlePaddle keeps the epsilon of a norm and batch norm's momentum in float32, whatever the weights are."""
    import torch

    torch.nn.functional.hardsigmoid = lambda x: torch.clamp(x * 0.1666667 + 0.5, 0, 1)  # its slope is this there
    for module in model.modules():
        if hasattr(module, "eps"):
            module.eps = float(np.float32(module.eps))
        if getattr(module, "momentum", None):
            module.momentum = 1 - float(np.float32(1 - module.momentum))


def tensors(value, make):
    if isinstance(value, dict):
        return {key: tensors(each, make) for key, each in value.items()}
    if isinstance(value, tuple):
        return tuple(tensors(each, make) for each in value)
    return make(value.astype("float64") if value.dtype.kind == "f" else value)


def still(model, key):
    for each in model.modules() if key == "torch" else model.sublayers(include_self=True):
        if "Dropout" in type(each).__name__:
            each.p = 0.0
        elif isinstance(getattr(each, "dropout", None), float):
            each.dropout = 0.0


def watch(modules, record):
    def seen(name):
        def hook(_, __, out):
            out = out[0] if isinstance(out, tuple) else out
            if type(out).__name__ == "PackedSequence":
                return
            number = sum(key.split("#")[0] == f"forward/{name}" for key in record)
            key = f"{name}#{number}" if number else name
            record[f"forward/{key}"] = np.array(out.detach().numpy())
            if out.requires_grad if hasattr(out, "requires_grad") else not out.stop_gradient:
                out.register_hook(lambda g: record.__setitem__(f"backward/{key}", np.array(g.detach().numpy())))

        return hook

    return [seen(name) for name, _ in modules]


def steps(side, returned, found, batches, count=2):
    """What each step gives."""
    model, loss, optimizer, schedule, own = parts(returned)
    at = {"torch": 1, "paddle": 2}[side]
    if side == "torch":
        import torch

        make = torch.from_numpy
    else:
        import paddle

        make = paddle.to_tensor
    record = {}
    for (name, *_), hook in zip(found, watch([(f[0], None) for f in found], record), strict=True):
        module = next(f for f in found if f[0] == name)[at]
        if module is not model:
            getattr(module, "register_forward_hook", getattr(module, "register_forward_post_hook", None))(hook)
    triples = [each for f in found for each in weights(*f)]

    def value(name, kind, each, p):
        array = None if p is None else np.array(p.detach().numpy())
        if array is not None and side == "torch":
            array = each[3](array)
        record[f"{kind}/{name}"] = array

    def note(step):
        def run(*args, **kwargs):
            for each in triples:
                grad = each[at].grad
                if f"grad/{each[0]}" not in record or record[f"grad/{each[0]}"] is None or own is None:
                    value(each[0], "grad", each, grad)
            return step(*args, **kwargs)

        return run

    optimizers = optimizer if isinstance(optimizer, dict) else {"": optimizer}
    for each in optimizers.values():
        each.step = note(each.step)
    for _, (x, y) in zip(range(count), batches, strict=False):
        record.clear()
        x, y = tensors(x, make), tensors(y, make)
        if own is not None:
            result = own(model, loss, optimizer, (x, y))
        else:
            out = model(**x) if isinstance(x, dict) else model(*x) if isinstance(x, tuple) else model(x)
            result = loss(out, y)
            optimizer.zero_grad() if side == "torch" else optimizer.clear_grad()
            result.backward()
            optimizer.step()
            if schedule is not None:
                schedule.step()
        for key, each in (result if isinstance(result, dict) else {"": result}).items():
            record[f"loss/{key}".rstrip("/")] = np.array(each.detach().numpy()).reshape(-1)
        for each in triples:
            for slot, there in SLOTS.items():
                for o in optimizers.values():
                    if side == "torch":
                        state = o.state.get(each[1], {}).get(slot)
                    else:
                        state = o._accumulators.get(f"{there}", {}).get(each[2].name)
                        state = state if state is not None else o._accumulators.get(f"{there}_0", {}).get(each[2].name)
                    if state is not None:
                        value(f"{each[0]}.{slot}", "state", each, state)
            value(each[0], "weight", each, each[at])
        for name, module, layer in found:
            for key, there in BUFFERS.items():
                if getattr(module, key, None) is not None:
                    buffer = getattr(module, key) if side == "torch" else getattr(layer, there, None)
                    record[f"buffer/{name}.{key}"] = None if buffer is None else np.array(buffer.numpy())
        yield dict(record)


KINDS = ["forward", "loss", "backward", "grad", "state", "weight", "buffer"]


def apart(a, b):
    if a is None or b is None:
        return 0.0 if a is b is None else np.inf
    if a.shape != b.shape:
        return np.inf if a.size != b.size else apart(a.ravel(), b.ravel())
    gap = np.abs(a - b).max()
    return float(np.inf if np.isnan(gap) else gap / max(np.abs(a).max(), 1e-3))


def compare(old, new):
    """The quantities of a step with their relative differences, in the order in which they come."""
    for kind in KINDS:
        names = [key for key in old if key.split("/")[0] == kind]
        for key in names:
            if key in new or kind in ("state", "backward"):
                if key.endswith("running_var"):  # PaddlePaddle's is the biased one
                    continue
                if kind == "backward" and key not in new and f"forward/{key[9:]}" not in new:
                    continue
                yield key, apart(old[key], new.get(key))


def trial(port, make, count=2):
    import paddle

    old = first_side(port)
    in_float32(parts(old)[0].double())
    paddle.set_default_dtype("float64")
    paddle.seed(0)
    new = make()
    found = pairs(port, parts(old)[0], parts(new)[0])
    copy(found)
    for key, each in (("torch", old), ("paddle", new)):
        still(parts(each)[0], key)
    batches = list(slips.load(port, "port").batches())
    left = steps("torch", old, found, batches, count)
    for a, b in zip(left, steps("paddle", new, found, batches, count), strict=True):
        yield list(compare(a, b))


def right(port, count=2):
    for number, step in enumerate(trial(port, lambda: program("paddle", port), count)):
        worst = {kind: max(((d, k) for k, d in step if k.startswith(kind)), default=None) for kind in KINDS}
        print(port, number, {kind: f"{w[0]:.1e} {w[1]}" for kind, w in worst.items() if w})


def floor(port, key, step):
    """What right ports differ by: Momentum's settings are kept in float32."""
    kind = key.split("/")[0]
    if port in ("lenet", "resnet18"):
        return 1e-7 if step or kind in ("state", "weight", "buffer") else 1e-9
    return (
        3e-7 if port == "mobilenet_v3" else 1e-8 if kind in ("state", "weight", "buffer", "backward", "grad") else 1e-9
    )


def check(port, only):
    bad = 0
    for name, each in slips.of(port).items():
        if only not in name:
            continue
        try:
            result = None
            for number, step in enumerate(trial(port, each.program, each.step + 1)):
                differ = [(k, d) for k, d in step if d > floor(port, k, number)]
                if differ:
                    result = number, differ[0]
                    break
            ok = result and result[0] == each.step and any(fnmatch(result[1][0], g) for g in each.first.split("|"))
            bad += not ok
            print("ok " if ok else "BAD", f"{port}/{name}", result, "" if ok else f"expected {each.step} {each.first}")
        except Exception as error:  # noqa: BLE001
            bad += 1
            print("ERR", f"{port}/{name}", type(error).__name__, str(error)[-300:])
    return bad


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("ports", nargs="*", default=slips.PORTS)
    parser.add_argument("--slips", action="store_true")
    parser.add_argument("--only", default="")
    asked = parser.parse_args()
    for port in asked.ports:
        if asked.slips:
            check(port, asked.only)
        else:
            right(port)
