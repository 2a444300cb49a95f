"""From a bundle on the disk to its first answer, in a new interpreter that has imported torch and nothing else.

python benchmarks/answer.py RUN INPUT [n]
"""

from __future__ import annotations

import subprocess
import sys

from common import print_header, tell

CODE = """
import sys, time
import torch
started = time.perf_counter(), time.process_time()
import flambeau as fb
answers = fb.load(sys.argv[1]).predict(sys.argv[2])
wall, cpu = time.perf_counter() - started[0], time.process_time() - started[1]
heavy = [name for name in ("torch._dynamo", "torchvision", "sklearn") if name in sys.modules]
assert "error" not in answers[0], answers[0]
print(wall, cpu, ",".join(heavy) or "-")
"""


def main() -> None:
    """Print the median and the spread of wall and processor time."""
    run, source = sys.argv[1:3]
    count = int(sys.argv[3]) if len(sys.argv) > 3 else 7
    print_header("a bundle's first answer, in an interpreter that has torch")
    walls, processor_times = [], []
    for _ in range(count):
        done = subprocess.run(
            [sys.executable, "-c", CODE, run, source], capture_output=True, text=True, check=True
        )
        wall, cpu, heavy = done.stdout.split()
        walls.append(float(wall))
        processor_times.append(float(cpu))
    print(f"wall      {tell(walls, 2)} s")
    print(f"processor {tell(processor_times, 2)} s; heavy modules imported: {heavy}")


if __name__ == "__main__":
    main()
