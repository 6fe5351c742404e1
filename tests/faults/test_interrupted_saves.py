"""Interrupted saves: whichever call to the file system is a run's last, resuming makes of it the run that never stopped."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from runs import environment

HERE = Path(__file__).parent
INTERVAL = 4  # steps between saves, in dying.py
SHARES = 2  # processes that share the calls between them


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system cannot fork a process")
@pytest.mark.parametrize("rest", range(SHARES))
def test_a_run_killed_at_any_call_resumes_as_if_nothing_had_been(rest: int, tmp_path: Path) -> None:
    words = [sys.executable, str(HERE / "dying.py"), str(tmp_path / "runs"), str(SHARES), str(rest)]
    done = subprocess.run(
        words,
        env=environment(HERE, HERE.parent, LETTERWISE_CACHE=str(tmp_path / "c")),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(told) > 30
    assert {line["call"].split()[0] for line in told} >= {"open", "half", "write", "fsync", "replace"}
    for line in told:
        assert line["same"], line
        assert line["left"] == [], line
        assert line["kept"] is not None or line["step"] == 0, line
        assert line["step"] - (line["kept"] or 0) <= INTERVAL, line
