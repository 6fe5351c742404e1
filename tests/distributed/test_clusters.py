"""The files in clusters/: each starts what `letterwise train` takes, and goes on with a run that is there."""

import os
import shlex
import subprocess
from pathlib import Path

import pytest
from in_process import flags_of

FILES = Path(__file__).parents[2] / "clusters"
FAKES = {
    "srun": 'exec "$@"',
    "scontrol": "echo n1; echo n2",
    "torchrun": 'printf "%s\\n" "$TORCH_DISABLE_SHARE_RDZV_TCP_STORE" "$@"',
}
GIVEN = {
    "SLURM_JOB_NODELIST": "n[1-2]", "SLURM_JOB_NUM_NODES": "2", "SLURM_GPUS_ON_NODE": "8", "SLURM_JOB_ID": "7",
    "SKYPILOT_NUM_NODES": "2", "SKYPILOT_NODE_RANK": "0", "SKYPILOT_NUM_GPUS_PER_NODE": "8", "SKYPILOT_TASK_ID": "run",
    "SKYPILOT_NODE_IPS": "1.2.3.4\n5.6.7.8",
}  # fmt: skip


def started(name: str, out: Path) -> list[str]:
    """What torchrun is started with, on the first of two machines, and what its environment says before it."""
    yaml = pytest.importorskip("yaml", reason="PyYAML reads the files of SkyPilot and Kubernetes")
    environment = {**os.environ, **GIVEN, "PATH": f"{out.parent}/bin:{os.environ['PATH']}", "OUT": str(out)}
    if name == "slurm.sbatch":
        words = ["bash", str(FILES / name), str(out), "--parallel", "fsdp"]
    elif name == "skypilot.yaml":
        told = yaml.safe_load((FILES / name).read_text())
        environment |= told["envs"]
        words = ["bash", "-c", told["run"].replace("/run-files", str(out.parent))]
    else:
        trainer = yaml.safe_load((FILES / name).read_text())["spec"]["trainer"]
        environment |= {each["name"]: each["value"] for each in trainer["env"] if each["name"] != "OUT"}
        words = [*trainer["command"], *trainer["args"]]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


@pytest.mark.parametrize("name", sorted(path.name for path in FILES.iterdir()))
def test_what_a_file_starts(name: str, tmp_path: Path) -> None:
    for fake, script in FAKES.items():
        (tmp_path / "bin").mkdir(exist_ok=True)
        (tmp_path / "bin" / fake).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / "bin" / fake).chmod(0o755)
    out = tmp_path / "run"
    out.mkdir()
    for there in (False, True):
        if there:
            (out / "state.safetensors").touch()
        switch, *words = started(name, out)
        assert switch == "1"
        before, own = words[: words.index("-m")], words[words.index("-m") + 3 :]
        assert words[words.index("-m") + 1 :][:2] == ["letterwise", "train"]
        assert name == "kubernetes.yaml" or before[:2] == ["--nnodes", "2"]
        asked = [word for word in own if word.startswith("--")]
        assert set(asked) <= set(flags_of("train")), shlex.join(own)
        assert own[own.index("--out") + 1] == str(out)
        assert ("--resume" in asked) == there
