"""Imports flow downstream only, printing happens at the end, and what needs no torch does not load it.

letterwise/**.py ──read as syntax──▶ who imports whom ──held against FLOW──▶ broken laws, as sentences

What is imported for its types alone (`if TYPE_CHECKING`) counts like the rest: who has to know another's types depends on it.
"""

import ast
import os
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FLOW = [
    {"errors", "machine", "printable", "shapes", "units"},
    {"text_encoding", "atomic", "stdin", "compiling", "progress"},
    {"config"},
    {"data", "model"},
    {"ngrams", "loss", "runtime", "distributed"},
    {"checkpoint", "memorization"},
    {"inference", "evaluation"},
    {"online"},
    {"training", "compression"},
    {"interop"},
    {"api", "comparison"},
    {"serve", "sweep"},
    {"cli"},
]
LEVEL = {group: level for level, groups in enumerate(FLOW) for group in groups}
LEVEL_PACKAGES = {f"letterwise.{group}" for group in LEVEL}
FRONT_DOOR = LEVEL["api"]  # `import letterwise` opens all of it: only what is above may
WITH_TORCH = {
    "model",
    "loss",
    "runtime",
    "distributed",
    "checkpoint",
    "inference",
    "evaluation",
    "online",
    "training",
    "interop",
    "api",
}
WITHOUT_TORCH = {"errors", "machine", "printable", "shapes", "units", "text_encoding", "atomic", "stdin", "compiling"}
WITHOUT_TORCH |= {"progress", "config", "data", "ngrams", "memorization", "comparison", "serve", "cli"}
# Beside those groups, what reads a model, and writes and ranks with it on a CPU. PyTorch comes in by what names a Transformer.
WITHOUT_TORCH |= {
    "api",
    "inference",
    "distributed.environment",
    "runtime.accelerator",
    "runtime.waiting",
    "interop.architecture",
    "interop.weight_names",
    "checkpoint.container",
    "checkpoint.ensemble",
    "checkpoint.model_file",
    "checkpoint.text_model",
    "checkpoint.torch_archive",
    "checkpoint.training_state",
    "evaluation.follow",
    "evaluation.protocols",
    "evaluation.rank",
    "evaluation.score",
}
WITH_TRANSFORMER = {"inference.torch_backend", "inference.captured"}
NOT_TO_GENERATE = {  # what `generate` loads only where it is needed: each costs every start some hundredths of a second
    "torch", "jaxtyping", "rich", "llguidance", "pooch", "zstandard", "filelock", "constriction", "pydivsufsort", "rapidfuzz",
    "asyncio", "unittest", "letterwise.data.prepare", "letterwise.training", "letterwise.evaluation", "letterwise.online",
    "letterwise.data.lines", "letterwise.data.reading.source", "letterwise.ngrams.cross_fit",
    "letterwise.checkpoint.training_state",
    "letterwise.inference.constraints.constraint", "letterwise.inference.constraints.normalize",
}  # fmt: skip
MAY_PRINT = {"letterwise.cli", "letterwise.progress"}

Sources = dict[str, str]  # "letterwise.model.block" → its text; a package goes by its own name


def read_package() -> Sources:
    """Every module of the package, the two front doors aside."""
    files = {path.relative_to(ROOT).with_suffix(""): path for path in sorted((ROOT / "letterwise").rglob("*.py"))}
    named = {".".join(name.parts).removesuffix(".__init__"): path for name, path in files.items()}
    return {name: path.read_text() for name, path in named.items() if name not in ("letterwise", "letterwise.__main__")}


def imports(source: str, known: Sources) -> set[str]:
    """Modules that a text imports, by full name, also inside functions; `from package import module` is that module."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            here = "." * node.level + (node.module or "")
            found |= {inner if (inner := f"{here}.{alias.name}") in known else here for alias in node.names}
    return found


def group_of(module: str) -> str:
    """The folder, or the lone file, directly under the package: `letterwise.model.block` → `model`."""
    return module.split(".")[1] if "." in module else ""


def room_of(module: str, known: Sources) -> str:
    """The folder inside a group that a module is in, or itself: `letterwise.data.reading.corpus` → `….data.reading`."""
    room = ".".join(module.split(".")[:3])
    return room if room in known else module


def circles(graph: dict[str, set[str]]) -> list[str]:
    """A sentence about a circle, if there is one."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return [f"a circle: {' imports '.join(reversed(error.args[1]))}"]
    return []


def broken_laws(sources: Sources) -> list[str]:
    """Every import that runs upstream or sideways, every circle inside a folder, and every unlicensed torch and print."""
    broken: list[str] = []
    graph: dict[str, set[str]] = {}
    rooms: dict[str, set[str]] = {}
    for name, source in sources.items():
        mine = group_of(name)
        if mine not in LEVEL:
            broken.append(f"{name} stands nowhere in the flow")
            continue
        found = imports(source, sources)
        for other in sorted(found):
            if other.startswith("."):
                broken.append(f"{name} imports {other}, which does not say from where")
            if other.split(".")[0] == "torch" and mine not in WITH_TORCH:
                broken.append(f"{name} imports torch")
            if other.split(".")[0] == "jaxtyping" and mine != "shapes":
                broken.append(f"{name} imports jaxtyping, which users need not have")
            if other.split(".")[0] == "letterwise" and group_of(other) != mine:
                theirs = FRONT_DOOR if other == "letterwise" else LEVEL.get(group_of(other))
                if theirs is None or theirs >= LEVEL[mine]:
                    broken.append(f"{name} imports {other}")
        graph[name] = {other for other in found if group_of(other) == mine and other.startswith("letterwise.")}
        prints = any(isinstance(n, ast.Call) and ast.unparse(n.func) == "print" for n in ast.walk(ast.parse(source)))
        if prints and not any(name == place or name.startswith(f"{place}.") for place in MAY_PRINT):
            broken.append(f"{name} prints")
    for name in graph.keys() - LEVEL_PACKAGES:
        room = room_of(name, sources)
        rooms.setdefault(room, set()).update({room_of(other, sources) for other in graph[name]} - {room} - LEVEL_PACKAGES)
    return broken + (circles(graph) or circles(rooms))


def test_the_package_keeps_the_law() -> None:
    sources = read_package()
    assert {"letterwise.config", "letterwise.model", "letterwise.model.block", "letterwise.cli.main"} <= sources.keys()
    assert broken_laws(sources) == []
    assert LEVEL.keys() == {group_of(name) for name in sources}, "a row of FLOW names what is not there"


@pytest.mark.parametrize(
    ("module", "source", "offence"),
    [
        ("model.block", "from letterwise.training.trainer import Run", "imports letterwise.training.trainer"),
        ("data.encode", "import letterwise.model", "imports letterwise.model"),
        ("loss", "from letterwise.runtime.device import find_runtime", "imports letterwise.runtime.device"),
        ("errors", "from letterwise.config import Config", "imports letterwise.config"),
        ("loss", "def late():\n    from letterwise import api", "imports letterwise.api"),
        ("loss", "if fast:\n    import letterwise.cli", "imports letterwise.cli"),
        ("loss", "if TYPE_CHECKING:\n    import torch\nelse:\n    import letterwise.cli", "imports letterwise.cli"),
        ("data.encode", "if TYPE_CHECKING:\n    from letterwise.model import build", "imports letterwise.model"),
        ("data.encode", "if typing.TYPE_CHECKING:\n    import torch", "imports torch"),
        ("training.trainer", "import letterwise", "imports letterwise"),
        ("data.encode", "from letterwise import LanguageModel", "imports letterwise"),
        ("errors", "from letterwise.progress import Note", "imports letterwise.progress"),
        ("cli.main", "from letterwise.surprise import it", "imports letterwise.surprise"),
        ("surprise", "", "stands nowhere in the flow"),
        ("model.block", "from .attention import Attention", "imports .attention, which does not say from where"),
        ("ngrams.trie", "from letterwise.loss import cross_entropy", "imports letterwise.loss"),
        ("ngrams.reader", "import torch", "imports torch"),
        ("model.prior", "from letterwise.ngrams import count_ngrams", "imports letterwise.ngrams"),
        ("data.batches", "def late():\n    import torch.utils.data", "imports torch"),
        ("config", "from torch import nn", "imports torch"),
        ("loss", "from jaxtyping import Float", "imports jaxtyping, which users need not have"),
        ("loss", "print(1)", "prints"),
        ("training.trainer", "def late():\n    print('step')", "prints"),
    ],
)
def test_a_broken_law_is_seen(module: str, source: str, offence: str) -> None:
    known = {f"letterwise.{module}": source, "letterwise.api": ""}
    assert broken_laws(known) == [f"letterwise.{module} {offence}"]


def test_a_circle_inside_a_folder_is_seen() -> None:
    circle = {"letterwise.model.a": "import letterwise.model.b", "letterwise.model.b": "from letterwise.model import a"}
    (sentence,) = broken_laws(circle)
    assert sentence.startswith("a circle: ")
    assert "letterwise.model.a imports letterwise.model.b" in sentence


def test_a_circle_of_types_is_seen() -> None:
    circle = {
        "letterwise.training.saver": "if TYPE_CHECKING:\n    from letterwise.training.trainer import Run",
        "letterwise.training.trainer": "from letterwise.training.saver import Saver",
    }
    (sentence,) = broken_laws(circle)
    assert "letterwise.training.saver imports letterwise.training.trainer" in sentence


def test_a_circle_of_rooms_is_seen() -> None:
    """No file imports itself by way of others, but their folders do."""
    rooms = {
        "letterwise.data": "",
        "letterwise.data.reading": "",
        "letterwise.data.reading.source": "from letterwise.data.lines import Lines",
        "letterwise.data.reading.corpus": "",
        "letterwise.data.lines": "from letterwise.data.reading.corpus import Corpus",
    }
    (sentence,) = broken_laws(rooms)
    assert "letterwise.data.reading imports letterwise.data.lines" in sentence


@pytest.mark.parametrize(
    "sources",
    [
        {"letterwise.training.trainer": "from letterwise.model.block import Block\nimport torch"},
        {"letterwise.model.block": "from letterwise.model.attention import attend", "letterwise.model.attention": ""},
        {"letterwise.api": "if TYPE_CHECKING:\n    import torch\n    from letterwise.model import build"},
        {"letterwise.ngrams.storage": "import numpy, letterwise.errors\nfrom letterwise.data import batches"},
        {"letterwise.evaluation.evaluate": "from letterwise.ngrams import Counts"},
        {"letterwise.cli.main": "print(1)\nimport letterwise", "letterwise.progress": "print(1)"},
        {
            "letterwise.config.presets": "from letterwise.config import Config\nfrom letterwise import errors",
            "letterwise.errors": "",
        },
    ],
)
def test_a_kept_law_is_left_in_peace(sources: Sources) -> None:
    assert broken_laws(sources) == []


def test_what_needs_no_torch_does_not_load_it() -> None:
    """By running it: none of these loads torch, nor do their imports, nor does writing or scoring with a .safetensors."""
    named = {name: name.removeprefix("letterwise.") for name in read_package()}
    light = [name for name, part in named.items() if {group_of(name), part} & WITHOUT_TORCH and part not in WITH_TRANSFORMER]
    script = f"""
import sys
import letterwise, {", ".join(light)}
model = letterwise.load("tests/golden/format3-model.safetensors", device="cpu")
assert model.generate("The ", num_tokens=20, greedy=True) == "cat sat on the mat. "
letterwise.compiling.entry.MEANWHILE = False
assert [line.text for line in model.follow([b"The cat\\nsat"])] == ["The cat\\n", "sat"]
assert model.params == sum(weight.size for weight in model.file.weights.values()) and model.file.counts
letterwise.checkpoint.training_state.read_state(letterwise.checkpoint.container.Path("tests/golden/format3-state.safetensors"))
sys.exit("torch" in sys.modules)"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, env=environment, check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def loaded_by_generate() -> set[str]:
    """The modules that a process has, after `letterwise generate` wrote a text with a model that reads counts."""
    model = "tests/golden/format3-model.safetensors"
    words = ["generate", "--model_path", model, "--seed", "The ", "--num_tokens", "3", "--greedy", "--device", "cpu"]
    script = f"import sys; from letterwise.cli import main; print(main({words})); print(*sys.modules)"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, env=environment, check=False, capture_output=True, text=True
    )
    assert done.stdout.startswith("The cat0\n"), done.stderr
    return {*done.stdout.split("\n")[1].split()}


def test_generating_loads_no_more_than_it_needs() -> None:
    assert loaded_by_generate() & NOT_TO_GENERATE == set()


def test_code_that_was_compiled_before_is_loaded_without_the_compiler() -> None:
    command = [sys.executable, "-m", "letterwise.inference.cpu.ahead"]  # compiles it, unless that was done before
    subprocess.run(command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=True)
    assert "numba" not in loaded_by_generate()
