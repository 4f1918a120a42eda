"""Try for a long time: `python -m tests.soak [--seconds S] [NAME…]`, for every module here that has a `main`.

A module's ``main(seconds)`` tries for so long and returns how often something failed, having said what; a number
``tries`` in it says how much was tried.
"""

from __future__ import annotations

import argparse
import sys
import time
from importlib import import_module
from pkgutil import iter_modules

import tests.soak

HOUR = 3600.0


def parts() -> dict[str, object]:
    """The modules that can try something, by name."""
    names = [module.name for module in iter_modules(tests.soak.__path__) if not module.name.startswith("_")]
    modules = {name: import_module(f"tests.soak.{name}") for name in names}
    return {name: module for name, module in modules.items() if hasattr(module, "main")}


def main() -> int:
    known = parts()
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description="Try for a long time.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(known)}; all without any")
    parser.add_argument("--seconds", type=float, default=HOUR, help="for all together; default: an hour")
    asked = parser.parse_args()
    unknown = sorted(set(asked.names) - set(known))
    if unknown:
        parser.error(f"expected names of {', '.join(known)}; got {unknown[0]!r}")
    chosen = {name: known[name] for name in asked.names or known}
    rows = []
    for name, module in chosen.items():
        start = time.monotonic()
        failures = module.main(asked.seconds / len(chosen))
        rows.append((name, getattr(module, "tries", "?"), failures, time.monotonic() - start))
    print(f"\n{'part':<12}{'tries':>12}{'failures':>12}{'seconds':>12}")
    for name, tries, failures, seconds in rows:
        print(f"{name:<12}{tries:>12}{failures:>12}{seconds:>12.0f}")
    return int(any(failures for _, _, failures, _ in rows))


if __name__ == "__main__":
    sys.exit(main())
