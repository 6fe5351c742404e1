"""Import of what is damaged, or made to do harm: one sentence, nothing runs, and nothing is written."""

import contextlib
import json
import math
import os
import pickle
import random
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from in_process import ask
from made_models import made
from test_import import CHARS, HEADS, LAYERS, drawn, meta, nanogpt, saved

import letterwise
from letterwise.checkpoint.torch_archive import Refused
from letterwise.errors import UserError
from letterwise.interop.importing.plain_pickle import read_plain_pickle

RAN = "LETTERWISE_TEST_RAN"


class Code:
    """A pickle of it sets a variable when it is loaded."""

    def __reduce__(self) -> Any:
        return (exec, (f"import os; os.environ[{RAN!r}] = '1'",))


def refused(tmp_path: Path, *request: object) -> str:
    """The sentence. Nothing ran, and no file has come."""
    before = sorted(tmp_path.rglob("*"))
    answer = ask("import", *request, "--output_file", tmp_path / "model.safetensors")
    assert answer.code == 2, answer
    assert RAN not in os.environ
    assert sorted(tmp_path.rglob("*")) == before
    return answer.sentence


def changed(**more: Any) -> dict[str, Any]:
    """A checkpoint of nanoGPT, with something else in it."""
    return {**nanogpt(drawn(), bias=True), **more}


def without(name: str) -> dict[str, Any]:
    found = nanogpt(drawn(), bias=True)
    del found["model"][f"_orig_mod.{name}"]
    return found


def with_weight(name: str, weight: Any) -> dict[str, Any]:
    found = nanogpt(drawn(), bias=True)
    found["model"][f"_orig_mod.{name}"] = weight
    return found


CHECKPOINTS: dict[str, tuple[Callable[[], Any], str]] = {
    "code": (lambda: changed(config=Code()), "exec'), which Letterwise never runs"),
    "a module": (lambda: torch.nn.Linear(2, 2), "contains pickled code ('torch.nn.modules.linear.Linear')"),
    "no dict": (lambda: [1, 2], "is no checkpoint of nanoGPT, minGPT or build-nanogpt"),
    "an empty dict": (dict, "is no checkpoint of nanoGPT"),
    "no tensors": (lambda: {"a": 1}, "is no checkpoint of nanoGPT"),
    "no embedding": (lambda: without("transformer.wte.weight"), "has no weight 'transformer.wte.weight'"),
    "a weight less": (lambda: without("transformer.h.1.mlp.c_fc.bias"), "has no weight 'transformer.h.1.mlp.c_fc.bias'"),
    "a weight more": (lambda: with_weight("transformer.h.0.attn.q_norm.weight", torch.ones(8)), "has no place for"),
    "a layer more": (lambda: changed(model_args={"n_head": HEADS, "n_layer": 5}), "it says n_layer=5, and its weights have 2"),
    "no heads": (lambda: changed(model_args={}), "does not say how many attention heads it has"),
    "odd heads": (lambda: changed(model_args={"n_head": 3}), "n_embd=16 is not divisible by n_head=3"),
    "heads in words": (lambda: changed(model_args={"n_head": "many"}), "n_head='many' is not a whole number"),
    "a shape": (
        lambda: with_weight("transformer.h.0.mlp.c_proj.weight", torch.zeros(16, 4)),
        "is damaged: it has 5,968 weights, and its configuration 6,928",
    ),
    "a vector": (lambda: with_weight("transformer.wte.weight", torch.zeros(9)), "has shape (9,), and is no matrix"),
    "a number": (lambda: with_weight("transformer.ln_f.weight", torch.tensor(1.0)), "its weights do not fit together"),
    "NaN": (lambda: with_weight("transformer.ln_f.weight", torch.full((16,), torch.nan)), "NaN or infinite values"),
    "whole numbers": (lambda: with_weight("transformer.ln_f.weight", torch.ones(16, dtype=torch.int8)), "a quantized model"),
    "text": (lambda: with_weight("transformer.ln_f.weight", "ones"), "has no plain numbers in 'transformer.ln_f.weight'"),
    "numbers that are not there": (
        lambda: with_weight("transformer.h.0.mlp.c_fc.weight", torch.ones(1).expand(2**20, 16)),
        "is damaged",
    ),
    "words": (
        lambda: with_weight("transformer.wte.weight", torch.zeros(50257, 16)) | {"model_args": {"n_head": HEADS}},
        "has 50,257 tokens, which are GPT-2's",
    ),
}


@pytest.mark.parametrize("kind", CHECKPOINTS)
def test_a_wrong_checkpoint_is_refused(kind: str, tmp_path: Path) -> None:
    made, sentence = CHECKPOINTS[kind]
    checkpoint = saved(tmp_path / "ckpt.pt", made())
    if kind != "words":
        saved(tmp_path / "meta.pkl", meta())
    assert sentence in refused(tmp_path, checkpoint)


def test_what_is_no_archive_is_refused(tmp_path: Path) -> None:
    whole = saved(tmp_path / "ckpt.pt", nanogpt(drawn(), bias=True)).read_bytes()
    saved(tmp_path / "meta.pkl", meta())
    for length in (0, 3, 100, len(whole) // 2, len(whole) - 10):
        (tmp_path / "cut.pt").write_bytes(whole[:length])
        assert "cut.pt' is " in refused(tmp_path, tmp_path / "cut.pt")
    torch.save(nanogpt(drawn(), bias=True), tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    assert "PyTorch before 1.6 wrote it" in refused(tmp_path, tmp_path / "old.pt")
    with zipfile.ZipFile(tmp_path / "bomb.pt", "w", zipfile.ZIP_DEFLATED) as bomb:
        bomb.writestr("a/data.pkl", bytes(2**24))
    assert "unpacks to more than the file itself" in refused(tmp_path, tmp_path / "bomb.pt")
    os.mkfifo(tmp_path / "pipe.pt")
    assert "is a pipe or a device, not a file" in refused(tmp_path, tmp_path / "pipe.pt")
    assert "/dev/zero' is a pipe or a device" in refused(tmp_path, "/dev/zero")
    (tmp_path / "round.pt").symlink_to("round.pt")
    assert "cannot read" in refused(tmp_path, tmp_path / "round.pt")
    (tmp_path / "folder").mkdir()
    assert "holds no model: neither the config.json of Hugging Face's, nor ckpt.pt" in refused(tmp_path, tmp_path / "folder")


def test_a_link_to_a_checkpoint_is_followed(tmp_path: Path) -> None:
    saved(tmp_path / "there/ckpt.pt", nanogpt(drawn(), bias=True))
    saved(tmp_path / "meta.pkl", meta())
    (tmp_path / "ckpt.pt").symlink_to("there/ckpt.pt")
    assert ask("import", tmp_path / "ckpt.pt", "--output_file", tmp_path / "model.pth").code == 0


METAS: dict[str, tuple[Any, str]] = {
    "code": ({"itos": Code()}, "holds more than texts and numbers"),
    "code beside": (meta(more=Code()), "holds more than texts and numbers"),
    "numpy": (meta(vocab=np.int64(3)), "holds more than texts and numbers"),
    "an object": (OrderedDict(itos=1), "holds more than texts and numbers"),
    "none": ({"stoi": {}}, "has no `itos`"),
    "no dict": ("itos", "has no `itos`"),
    "a gap": ({"itos": {0: "a", 2: "b"}}, "has no `itos`"),
    "texts as ids": ({"itos": {"0": "a", "1": "b"}}, "has no `itos`"),
    "truth as ids": ({"itos": {False: "a", True: "b"}}, "has no `itos`"),
    "twice": (meta("zetaz\n bc"[:9]), "has the character 'z' more than once"),
    "words": (meta(["a", "the", "of"]), "is not of a character-level model: 2 of its 3 tokens are no single characters"),
    "numbers": (meta([1, 2]), "is not of a character-level model"),
    "half a character": (meta(["\ud800"]), "is not of a character-level model"),
    "not inverse": ({"itos": dict(enumerate(CHARS)), "stoi": dict.fromkeys(CHARS, 0)}, "not the inverse"),
    "fewer": (meta("abc"), "the model has 9 tokens, and "),
}


@pytest.mark.parametrize("kind", METAS)
def test_a_wrong_meta_pkl_is_refused(kind: str, tmp_path: Path) -> None:
    checkpoint = saved(tmp_path / "ckpt.pt", nanogpt(drawn(), bias=True))
    value, sentence = METAS[kind]
    saved(tmp_path / "meta.pkl", value)
    assert sentence in refused(tmp_path, checkpoint)
    assert sentence in refused(tmp_path, checkpoint, "--meta", tmp_path / "meta.pkl")


def test_a_pickle_is_read_as_pickle_reads_it_or_refused() -> None:
    """Any prefix, any changed byte: containers and values, or `Refused`."""
    draw = np.random.default_rng(0)
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        value = {**meta(), "deep": [[1, -5, 2**40, 1.5, None, True], {"é": "\n"}]}
        whole = pickle.dumps(value, protocol)
        assert read_plain_pickle(whole) == value
        for length in range(len(whole)):
            with pytest.raises(Refused):
                read_plain_pickle(whole[:length])
        for place in range(len(whole)):
            damaged = bytearray(whole)
            damaged[place] = draw.integers(256)
            try:
                read_plain_pickle(bytes(damaged))
            except Refused:
                continue


@pytest.mark.parametrize(
    "pickled",
    [
        b"",
        b".",
        b"\x80\x02}q\x00(h\x00h\x00u.",  # a dict that is its own key
        b"I" + b"9" * 5000 + b"\n.",
        b"cos\nsystem\n(S'true'\ntR.",
        b"\x80\x04\x8c\x02os\x8c\x06system\x93.",
        b"\x80\x02(K\x01K\x02u.",
        b"\x80\x02]K\x01K\x02a.",
        b"h\x05.",
    ],
)
def test_a_hostile_pickle_is_refused(pickled: bytes) -> None:
    with pytest.raises(Refused):
        read_plain_pickle(pickled + b"X" if pickled == b"." else pickled)


def test_a_pickle_of_many_marks_takes_no_longer_than_its_length() -> None:
    assert read_plain_pickle(b"(l" * 10**5 + b".") == []


def test_a_dataset_names_no_other_place(tmp_path: Path) -> None:
    """A checkpoint names its text: a plain name, below data/."""
    saved(tmp_path / "elsewhere/meta.pkl", meta())
    for name in ("../elsewhere", str(tmp_path / "elsewhere"), "..", ""):
        checkpoint = saved(tmp_path / "out/ckpt.pt", changed(config={"dataset": name}))
        assert "does not say which character each of its 9 tokens is" in refused(tmp_path, checkpoint)


def test_both_sources_of_characters_are_one_too_many(tmp_path: Path) -> None:
    checkpoint, names = saved(tmp_path / "ckpt.pt", nanogpt(drawn(), bias=True)), saved(tmp_path / "m.pkl", meta())
    (tmp_path / "t.txt").write_text(CHARS)
    both = ("--meta", names, "--vocabulary_from", tmp_path / "t.txt")
    assert "--meta and --vocabulary_from both name the characters" in refused(tmp_path, checkpoint, *both)


def test_what_is_read_is_not_written_over(tmp_path: Path) -> None:
    checkpoint = saved(tmp_path / "ckpt.pth", nanogpt(drawn(), bias=True))
    saved(tmp_path / "meta.pkl", meta())
    before = checkpoint.read_bytes()
    answer = ask("import", checkpoint, "--output_file", checkpoint)
    assert answer.code == 2
    assert "is what FILE reads, and would be lost" in answer.sentence
    assert "must end in .safetensors or .pth" in ask("import", checkpoint, "--output_file", tmp_path / "model.bin").sentence
    assert checkpoint.read_bytes() == before


def test_a_state_dict_of_many_names_of_one_tensor_takes_no_more_than_the_file(tmp_path: Path) -> None:
    """The same megabyte under the names of a thousand layers."""
    one, w = torch.zeros(512, 512), drawn(tied=False)
    big = {name.replace("h.1", f"h.{n}"): one for n in range(LAYERS, 1000) for name in w if ".h.1." in name}
    wide = {
        name: torch.zeros(*(32 * side for side in weight.shape)) if ".h." not in name else one for name, weight in w.items()
    }
    checkpoint = saved(tmp_path / "model.pt", wide | big | {"lm_head.weight": torch.ones(288, 512)})
    saved(tmp_path / "meta.pkl", meta("".join(map(chr, range(32, 32 + 9 * 32)))))
    (tmp_path / "config.json").write_text(json.dumps({"model": {"n_head": 2}}))
    assert "cannot hold the weights of the model that it describes" in refused(tmp_path, checkpoint)


def changed_somewhere(described: Any, draw: random.Random) -> None:
    """One value of a JSON object becomes another, of any kind."""
    places = list(described) if isinstance(described, dict) else list(range(len(described)))
    place = draw.choice(places)
    if isinstance(described[place], dict | list) and described[place] and draw.random() < 0.6:
        changed_somewhere(described[place], draw)
    else:
        described[place] = draw.choice([None, True, -1, 0, 3, 1e300, math.nan, "x", [], {}, [1], {"a": 1}, 10**30, 2**31])


def taken_or_refused(path: Path) -> None:
    """Anything else is a traceback."""
    with contextlib.suppress(UserError):
        letterwise.import_model(path)


def test_what_is_damaged_anywhere_is_taken_or_refused_in_a_sentence(tmp_path: Path) -> None:
    draw = random.Random(0)
    checkpoint, folder = saved(tmp_path / "ckpt.pt", nanogpt(drawn(), bias=True)), tmp_path / "hf"
    saved(tmp_path / "meta.pkl", meta())
    made("llama").export("hf", folder)
    whole = checkpoint.read_bytes()
    begin = whole.index(b"data.pkl")
    for _ in range(80):
        damaged = bytearray(whole)
        for _ in range(draw.choice((1, 1, 3, 10))):
            place = draw.randrange(begin, begin + 6000) if draw.random() < 0.7 else draw.randrange(len(whole))
            damaged[place] = draw.randrange(256)
        checkpoint.write_bytes(damaged)
        taken_or_refused(checkpoint)
    for name in ("config.json", "tokenizer.json"):
        content = (folder / name).read_text()
        for _ in range(150):
            described = json.loads(content)
            changed_somewhere(described, draw)
            (folder / name).write_text(json.dumps(described))
            taken_or_refused(folder)
        (folder / name).write_text(content)
