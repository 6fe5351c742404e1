"""Runtime: bfloat16 only where the hardware multiplies it; a device that is not there is refused."""

from pathlib import Path

import pytest
import torch

from letterwise.config import RuntimeConfig
from letterwise.errors import UserError
from letterwise.runtime import accelerator
from letterwise.runtime.accelerator import accelerator_possible, device_name
from letterwise.runtime.device import find_runtime
from letterwise.runtime.process import one_thread, process_state_kept


@pytest.mark.parametrize(
    ("capabilities", "expected"),
    [
        ({"avx2": True, "avx512_f": True}, torch.float32),
        ({"avx2": True, "avx512_bf16": True}, torch.bfloat16),
        ({"amx_bf16": True}, torch.bfloat16),
        ({}, torch.float32),
    ],
)
def test_auto_asks_the_processor(monkeypatch: pytest.MonkeyPatch, capabilities: dict, expected: torch.dtype) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    assert find_runtime(RuntimeConfig(device="cpu")).dtype == expected


@pytest.mark.parametrize(
    ("capability", "expected"), [((7, 5), torch.float32), ((8, 0), torch.bfloat16), ((9, 0), torch.bfloat16)]
)
def test_auto_asks_the_gpu(monkeypatch: pytest.MonkeyPatch, capability: tuple, expected: torch.dtype) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    runtime = find_runtime(RuntimeConfig())
    assert runtime.device == torch.device("cuda:0")
    assert runtime.dtype == expected
    assert find_runtime(RuntimeConfig(device="cuda:1")).device == torch.device("cuda:1")


def test_what_is_asked_for_is_given() -> None:
    assert find_runtime(RuntimeConfig(device="cpu", dtype="bfloat16")).dtype == torch.bfloat16
    with find_runtime(RuntimeConfig(device="cpu", dtype="bfloat16")).autocast():
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.bfloat16
    with find_runtime(RuntimeConfig(device="cpu", dtype="float32")).autocast():
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float32


def test_threads_are_named_and_not_set() -> None:
    before = torch.get_num_threads()
    assert "7 CPU threads" in str(find_runtime(RuntimeConfig(device="cpu", threads=7)))
    assert torch.get_num_threads() == before


def test_threads_and_random_numbers_are_given_back() -> None:
    threads, state = torch.get_num_threads(), torch.get_rng_state()
    with process_state_kept():
        torch.set_num_threads(threads + 1)
        torch.manual_seed(5)
        assert torch.get_num_threads() == threads + 1
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.get_rng_state(), state)


def test_one_thread_is_for_a_while() -> None:
    with process_state_kept():
        torch.set_num_threads(3)
        with one_thread():
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 3


@pytest.mark.parametrize("name", ["cuda:9", "tpu", "cpu:1", "cuda:x"])
def test_a_device_that_is_not_there_is_refused(name: str) -> None:
    with pytest.raises(UserError, match=r"is not on this machine: it has .*cpu"):
        find_runtime(RuntimeConfig(device=name))


def test_where_no_driver_is_the_processor_is_taken_unasked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: pytest.fail("torch was asked"))
    monkeypatch.setattr(accelerator, "accelerator_possible", lambda: False)
    assert device_name("auto") == device_name("cpu") == "cpu"


def test_where_a_driver_is_torch_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accelerator, "accelerator_possible", lambda: True)
    for gpus, best in ((0, "cpu"), (2, "cuda:0")):
        monkeypatch.setattr(torch.cuda, "device_count", lambda gpus=gpus: gpus)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
        assert device_name("auto") == best
    assert device_name("cuda:1") == "cuda:1"
    with pytest.raises(UserError, match="device 'cuda:2' is not on this machine"):
        device_name("cuda:2")


def test_a_driver_is_seen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(accelerator, "DRIVERS", (str(tmp_path / "nvidiactl"),))
    for platform, there, possible in (("linux", False, False), ("darwin", False, True), ("linux", True, True)):
        monkeypatch.setattr(accelerator.sys, "platform", platform)
        if there:
            (tmp_path / "nvidiactl").touch()
        assert accelerator_possible() is possible


def test_no_gpu_is_overlooked() -> None:
    """On the machine at hand: wherever torch finds one, a driver was seen."""
    assert accelerator_possible() or not (torch.cuda.is_available() or torch.backends.mps.is_available())
