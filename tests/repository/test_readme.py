"""The README's Python example runs as printed."""

import re
import subprocess
import sys
from pathlib import Path

README = Path(__file__).parents[2] / "README.md"


def test_first_python_example_runs(tmp_path: Path):
    block = re.search(r"^```python\n(.*?)^```", README.read_text(encoding="utf-8"), re.M | re.S)
    assert block, "README.md has no ```python block"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", block[1]],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "nan" not in done.stdout
    assert "tensor(" in done.stdout
