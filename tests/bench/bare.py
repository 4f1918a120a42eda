"""The two bare loops one after the other, each in a process of its own, as someone without isograd would run them."""

from __future__ import annotations

import subprocess
import sys

for name in ("torch", "paddle"):
    subprocess.run([sys.executable, "-W", "ignore", "-m", "tests.bench.training", name, "--once"], check=True)
