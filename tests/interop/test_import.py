"""Import of nanoGPT, minGPT and build-nanogpt: what they predict is predicted here, by a plain GPT that is written out below.

The checkpoints are made here as these programs make them. What real ones of theirs came to is in docs/import.md.
"""

import json
import math
import pickle
import re
import shlex
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from in_process import ask
from made_models import made
from torch import Tensor

import letterwise
from letterwise.checkpoint import load_model, save_model
from letterwise.errors import UserError
from letterwise.units import bits

PAGE = Path(__file__).parents[2] / "docs/import.md"
CHARS = "zeta\n bcd"  # by token, in no order
LAYERS, HEADS, WIDTH, CONTEXT = 2, 2, 16, 12
TEXT = "zebra bed\ntea cab".replace("r", "d")
Weights = dict[str, Tensor]


def drawn(*, bias: bool = True, tied: bool = True) -> Weights:
    """Weights by nanoGPT's names."""
    draw = torch.Generator().manual_seed(3)
    shapes = {"transformer.wte": (len(CHARS), WIDTH), "transformer.wpe": (CONTEXT, WIDTH), "lm_head": (len(CHARS), WIDTH)}
    norms = ["transformer.ln_f"]
    for n in range(LAYERS):
        block = f"transformer.h.{n}"
        norms += [f"{block}.ln_1", f"{block}.ln_2"]
        shapes |= {f"{block}.attn.c_attn": (3 * WIDTH, WIDTH), f"{block}.attn.c_proj": (WIDTH, WIDTH)}
        shapes |= {f"{block}.mlp.c_fc": (4 * WIDTH, WIDTH), f"{block}.mlp.c_proj": (WIDTH, 4 * WIDTH)}
    found = {f"{name}.weight": torch.randn(shape, generator=draw) * 0.4 for name, shape in shapes.items()}
    found |= {f"{name}.weight": 1 + torch.randn(WIDTH, generator=draw) * 0.2 for name in norms}
    if bias:
        linear = [name for name in shapes if ".h." in name]
        found |= {f"{name}.bias": torch.randn(shapes[name][0], generator=draw) * 0.2 for name in linear}
        found |= {f"{name}.bias": torch.randn(WIDTH, generator=draw) * 0.2 for name in norms}
    if tied:
        found["lm_head.weight"] = found["transformer.wte.weight"]
    return found


def plain_logits(w: Weights, ids: list[int], *, exact: bool) -> Tensor:
    """GPT-2, each head and each position by itself."""

    def norm(x: Tensor, name: str) -> Tensor:
        centred = x - x.mean(-1, keepdim=True)
        scaled = centred / (centred.square().mean(-1, keepdim=True) + 1e-5).sqrt()
        return scaled * w[f"{name}.weight"] + w.get(f"{name}.bias", 0)

    def linear(x: Tensor, name: str) -> Tensor:
        return x @ w[f"{name}.weight"].T + w.get(f"{name}.bias", 0)

    x = w["transformer.wte.weight"][ids] + w["transformer.wpe.weight"][: len(ids)]
    for n in range(LAYERS):
        block, size = f"transformer.h.{n}", WIDTH // HEADS
        q, k, v = linear(norm(x, f"{block}.ln_1"), f"{block}.attn.c_attn").split(WIDTH, -1)
        mixed = torch.zeros_like(x)
        for head in range(HEADS):
            part = slice(head * size, (head + 1) * size)
            for t in range(len(ids)):
                shares = (q[t, part] @ k[: t + 1, part].T / math.sqrt(size)).softmax(-1)
                mixed[t, part] = shares @ v[: t + 1, part]
        x = x + linear(mixed, f"{block}.attn.c_proj")
        hidden = linear(norm(x, f"{block}.ln_2"), f"{block}.mlp.c_fc")
        bent = (
            torch.erf(hidden / math.sqrt(2)) if exact else torch.tanh(math.sqrt(2 / math.pi) * (hidden + 0.044715 * hidden**3))
        )
        x = x + linear(hidden * (1 + bent) / 2, f"{block}.mlp.c_proj")
    return linear(norm(x, "transformer.ln_f"), "lm_head")


def require_equal(model: letterwise.LanguageModel, w: Weights, *, exact: bool) -> None:
    """The same logits for each character, wherever its row is; and the same greedy text."""
    assert model.vocabulary.characters == "".join(sorted(CHARS))
    order = [CHARS.index(character) for character in model.vocabulary.characters]
    theirs = plain_logits(w, [CHARS.index(character) for character in TEXT[:CONTEXT]], exact=exact)[:, order]
    assert torch.allclose(model.logits(TEXT[:CONTEXT]), theirs, atol=1e-4)
    text = "ze"
    while len(text) < CONTEXT:
        text += CHARS[int(plain_logits(w, [CHARS.index(c) for c in text], exact=exact)[-1].argmax())]
    assert "ze" + model.generate("ze", num_tokens=CONTEXT - 2, greedy=True) == text


def meta(characters: Any = CHARS, **more: Any) -> dict[str, Any]:
    """What nanoGPT's prepare.py keeps of a text."""
    itos = dict(enumerate(characters))
    return {"vocab_size": len(itos), "itos": itos, "stoi": {c: id for id, c in itos.items()}, **more}


def saved(path: Path, content: Any) -> Path:
    """A file of torch's, or a pickle."""
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(content, path) if path.suffix != ".pkl" else path.write_bytes(pickle.dumps(content))
    return path


def nanogpt(w: Weights, **more: Any) -> dict[str, Any]:
    """A checkpoint as nanoGPT's train.py writes it, compiled."""
    shape = dict(n_layer=LAYERS, n_head=HEADS, n_embd=WIDTH, block_size=CONTEXT, vocab_size=len(CHARS), dropout=0.1)
    state = {0: {"step": torch.tensor(3.0), "exp_avg": torch.zeros(4)}}
    return {
        "model": {f"_orig_mod.{name}": weight for name, weight in w.items()},
        "optimizer": {"state": state, "param_groups": [{"lr": 1e-3, "betas": (0.9, 0.99), "params": [0]}]},
        "model_args": {**shape, "bias": "lm_head.bias" in w, **more},
        "iter_num": 3,
        "best_val_loss": torch.tensor(1.5),
        "config": {"dataset": "letters", "out_dir": "out", "device": "cpu"},
    }


@pytest.mark.parametrize("bias", [False, True])
def test_a_checkpoint_of_nanogpt_predicts_the_same(bias: bool, tmp_path: Path) -> None:
    """Its characters are found where nanoGPT keeps them."""
    w = drawn(bias=bias)
    checkpoint = saved(tmp_path / "out" / "ckpt.pt", {**nanogpt(w, bias=bias)})
    saved(tmp_path / "data/letters/meta.pkl", meta())
    for place in (checkpoint, checkpoint.parent):
        require_equal(letterwise.import_model(place), w, exact=True)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_meta_pkl_of_any_protocol_is_read(protocol: int, tmp_path: Path) -> None:
    checkpoint = saved(tmp_path / "ckpt.pt", nanogpt(drawn(), bias=True))
    for value in (meta(), {"itos": list(CHARS)}):
        (tmp_path / "m.pkl").write_bytes(pickle.dumps(value, protocol))
        assert letterwise.import_model(checkpoint, meta=tmp_path / "m.pkl").vocabulary.characters == "".join(sorted(CHARS))


def mingpt(w: Weights) -> Weights:
    """A state dict of minGPT: with its mask."""
    mask = torch.ones(CONTEXT, CONTEXT).tril()[None, None]
    return w | {f"transformer.h.{n}.attn.bias": mask for n in range(LAYERS)}


@pytest.mark.parametrize("said", ["config.json", "model_type", "n_head"])
def test_a_state_dict_of_mingpt_predicts_the_same(said: str, tmp_path: Path) -> None:
    w = drawn(tied=False)
    checkpoint, options = saved(tmp_path / "model.pt", mingpt(w)), {}
    saved(tmp_path / "m.pkl", meta())
    if said == "n_head":
        options["n_head"] = HEADS
    else:
        model = {"n_head": HEADS, "n_layer": LAYERS} if said == "config.json" else {"n_head": None, "model_type": "two heads"}
        (tmp_path / "config.json").write_text(json.dumps({"model": model, "data": {"block_size": CONTEXT}}))
    if said == "model_type":
        with pytest.raises(UserError, match="does not say how many attention heads"):
            letterwise.import_model(checkpoint, meta=tmp_path / "m.pkl")
    else:
        require_equal(letterwise.import_model(checkpoint, meta=tmp_path / "m.pkl", **options), w, exact=False)


def test_a_state_dict_of_the_first_mingpt_predicts_the_same(tmp_path: Path) -> None:
    w, old = drawn(tied=False), dict[str, Tensor]()
    for name, weight in mingpt(w).items():
        name = name.replace("transformer.wte", "tok_emb").replace("transformer.ln_f", "ln_f").replace("lm_head", "head")
        name = (
            name.replace("transformer.h.", "blocks.")
            .replace("ln_", "ln")
            .replace("lnf", "ln_f")
            .replace(".attn.bias", ".attn.mask")
        )
        name = name.replace("attn.c_proj", "attn.proj").replace("mlp.c_fc", "mlp.0").replace("mlp.c_proj", "mlp.2")
        if "c_attn" in name:
            parts = zip(("query", "key", "value"), weight.chunk(3), strict=True)
            old |= {name.replace("c_attn", each): part.clone() for each, part in parts}
        else:
            old[name] = weight
    old["pos_emb"] = old.pop("transformer.wpe.weight")[None]
    checkpoint = saved(tmp_path / "model.pt", old)
    saved(tmp_path / "meta.pkl", meta())
    require_equal(letterwise.import_model(checkpoint, n_head=HEADS), w, exact=True)


def test_the_vocabulary_can_come_from_the_text(tmp_path: Path) -> None:
    """Sorted, as minGPT does it, and without \\r, as Python reads text files."""
    checkpoint = saved(tmp_path / "model.pt", drawn(tied=False))
    (tmp_path / "input.txt").write_bytes("".join(reversed(CHARS)).replace("\n", "\r\n").encode())
    model = letterwise.import_model(checkpoint, vocabulary_from=tmp_path / "input.txt", n_head=HEADS)
    assert model.vocabulary.characters == "".join(sorted(CHARS))
    token = sorted(CHARS).index("e")
    assert np.array_equal(model.file.weights["tokens.weight"][token], drawn(tied=False)["transformer.wte.weight"][token])
    (tmp_path / "input.txt").write_text("other")
    with pytest.raises(UserError, match=r"the model has 9 tokens, and .*input\.txt 5 different characters"):
        letterwise.import_model(checkpoint, vocabulary_from=tmp_path / "input.txt", n_head=HEADS)


class GPTConfig:
    """As in build-nanogpt's script."""


def test_a_checkpoint_of_build_nanogpt_predicts_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its configuration is an object of a class of `__main__`: its attributes are read, and nothing of it runs."""
    w, config = drawn(), GPTConfig()
    vars(config).update(n_layer=LAYERS, n_head=HEADS, n_embd=WIDTH, block_size=CONTEXT, vocab_size=len(CHARS))
    monkeypatch.setattr(GPTConfig, "__module__", "__main__")
    monkeypatch.setattr(sys.modules["__main__"], "GPTConfig", GPTConfig, raising=False)
    checkpoint = saved(tmp_path / "model_05000.pt", {"model": w, "config": config, "step": 5000, "val_loss": 1.5})
    saved(tmp_path / "meta.pkl", meta())
    monkeypatch.delattr(sys.modules["__main__"], "GPTConfig")
    require_equal(letterwise.import_model(checkpoint), w, exact=False)


def test_which_gelu_a_bare_tied_state_dict_has_must_be_said(tmp_path: Path) -> None:
    w = drawn()
    checkpoint = saved(tmp_path / "weights.pt", w)
    saved(tmp_path / "meta.pkl", meta())
    with pytest.raises(UserError, match="differ in their GELU: give --activation"):
        letterwise.import_model(checkpoint, n_head=HEADS)
    for activation, exact in (("gelu_erf", True), ("gelu", False)):
        require_equal(letterwise.import_model(checkpoint, n_head=HEADS, activation=activation), w, exact=exact)


@pytest.fixture
def imported(tmp_path: Path) -> Path:
    """A model file that the command line made."""
    checkpoint = saved(tmp_path / "ckpt.pt", nanogpt(drawn(), bias=True))
    saved(tmp_path / "meta.pkl", meta())
    (tmp_path / "text.txt").write_text("a bed beta at tea z dab\n" * 40)
    answer = ask("import", checkpoint, "--output_file", tmp_path / "model.safetensors", "--json")
    assert answer.code == 0, answer
    said = json.loads(answer.stdout)
    assert (said["imported_from"], said["vocab_size"], said["n_layer"], said["n_head"]) == (
        "nanoGPT",
        len(CHARS),
        LAYERS,
        HEADS,
    )
    return tmp_path / "model.safetensors"


def test_what_came_in_is_used_like_any_model(imported: Path, tmp_path: Path) -> None:
    model, text = letterwise.load(imported), tmp_path / "text.txt"
    assert "imported (nanoGPT)" in repr(model)
    assert model.data["imported"].keys() == {"from", "sha256"}
    model.compress_file(text, tmp_path / "packed")
    model.decompress_file(tmp_path / "packed", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == text.read_bytes()
    cost = sum(line.bits for line in model.score(input_file=text))
    found = model.evaluate(input_file=text)
    assert found.chars == len(text.read_text()) - 1
    assert cost == pytest.approx(found.bits_per_char * found.chars, rel=0.2)
    assert ask("export", "--model_path", imported, "--to", "hf", "--output_dir", tmp_path / "hf").code == 0
    assert (
        "It was imported (nanoGPT): what text it learned, and how, is not known here."
        in (tmp_path / "hf/README.md").read_text()
    )
    again = letterwise.import_model(tmp_path / "hf")
    assert torch.allclose(again.logits("zeta bed"), model.logits("zeta bed"), atol=1e-5)


def test_that_its_text_is_not_known_is_said_in_a_sentence(imported: Path, tmp_path: Path) -> None:
    model = ("--model_path", imported)
    for request in (("evaluate", *model), ("novelty", *model, "--input_file", tmp_path / "text.txt")):
        answer = ask(*request)
        assert answer.code == 2, request
        assert "this model was imported (nanoGPT), and what text it learned is not known here: " in answer.sentence
    assert "was imported (nanoGPT), and its text is not known here" in ask("compare", imported, imported).sentence
    shown = ask("inspect", *model).stdout
    assert shown.count("not known here: the model was imported (nanoGPT)\n") == 2
    assert letterwise.load(imported).held_out() == ""


@pytest.mark.parametrize(
    "origin",
    [None, "nanoGPT", {}, {"from": "nanoGPT"}, {"from": "", "sha256": "0" * 64}, {"from": "nanoGPT", "sha256": "0" * 63},
     {"from": 7, "sha256": "0" * 64}, {"from": "x" * 41, "sha256": "0" * 64}, {"from": "x", "sha256": "0" * 64, "more": 1}],
)  # fmt: skip
def test_a_wrong_record_of_its_origin_is_refused(origin: Any, imported: Path) -> None:
    file = load_model(imported)
    save_model(imported, replace(file, data={**file.data, "imported": origin}))
    with pytest.raises(UserError, match="its record of where it was imported from is not complete"):
        load_model(imported)


def test_it_can_be_fine_tuned(imported: Path, tmp_path: Path) -> None:
    """On a text with a character that is new to it; its lineage says that the first text is not known."""
    (tmp_path / "domain.txt").write_text("a quiet bed beta at tea\n" * 60)
    asked = ("--init_from", imported, "--max_iters", 8, "--eval_interval", 4, "--batch_size", 4, "--out", tmp_path / "run")
    answer = ask("train", "--input_file", tmp_path / "domain.txt", *asked)
    assert answer.code == 0, answer
    assert "what text it learned is not known here: how much of it is forgotten is not measured" in answer.stderr
    model = letterwise.load(tmp_path / "run/model.safetensors")
    assert set("qui") < set(model.vocabulary.characters)
    assert model.config.model.activation == "gelu_erf"
    assert model.file.imported is None
    (before,) = model.file.lineage
    assert (before["sources"], before["fingerprint"]) == ([], "0" * 64)
    assert bits(model.history[-1]["val_nats_per_char"]) < model.data["baselines"]["base model"]
    assert (
        ask("export", "--model_path", tmp_path / "run/model.safetensors", "--to", "hf", "--output_dir", tmp_path / "hf").code
        == 0
    )
    assert re.search(
        r"fine-tuned from the model `[0-9a-f]{16}` of a text that is not known", (tmp_path / "hf/README.md").read_text()
    )


def test_every_command_of_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of docs/import.md, with small models of these names."""
    monkeypatch.chdir(tmp_path)
    saved(tmp_path / "out-shakespeare-char/ckpt.pt", nanogpt(drawn(), bias=True))
    saved(tmp_path / "out-shakespeare-char/meta.pkl", meta())
    saved(tmp_path / "out/chargpt/model.pt", mingpt(drawn(tied=False)))
    (tmp_path / "out/chargpt/config.json").write_text(json.dumps({"model": {"n_head": HEADS}}))
    (tmp_path / "input.txt").write_text(CHARS)
    (tmp_path / "sonnets.txt").write_text("a quiet bed beta at tea\n" * 60)
    made("llama").export("hf", tmp_path / "my-llama")
    (block,) = re.findall(r"```sh\n(.*?)```", PAGE.read_text(), re.DOTALL)
    commands = [shlex.split(line, comments=True)[1:] for line in block.splitlines()]
    assert len(commands) == 4
    for command in commands:
        answer = ask(*command, *(("--minutes=0", "--max_iters=2") if command[0] == "train" else ()))
        assert answer.code == 0, answer
