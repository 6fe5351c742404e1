"""Agreement: a million characters that the compiled path draws, held against what the model itself says of them.

    python -m benchmarks.agreement --model_path out/three-minutes/model.safetensors

64 texts are written side by side, far past the context. PyTorch then tells the probabilities (V,) before each of their
characters (`sliding` windows are those that a writer sees). A character's place in the cumulative distribution, anywhere within
its own share, is uniform if it was drawn from just that distribution: chi-squared over 100 equal parts. Beside it, how often
each character was expected and came. Last, greedy texts of both paths are compared letter by letter.
"""

import numpy as np
import torch

from benchmarks.record import flags, record
from letterwise.api import LanguageModel, load
from letterwise.evaluation.passes import passes
from letterwise.inference.constraints.limits import Limits
from letterwise.inference.generate import generate
from letterwise.inference.sampling.sampler import Sampler
from letterwise.inference.torch_backend import TorchBackend

TEXTS, PARTS = 64, 100
PROMPTS, GREEDY_CHARS = 20, 1000


def main() -> None:
    parser = flags(__doc__ or "")
    parser.add_argument("--model_path", required=True, help="a small model")
    parser.add_argument("--chars", type=int, default=1_000_000, help="characters to draw")
    asked = parser.parse_args()
    model = load(asked.model_path, device="cpu")
    each = -(-asked.chars // TEXTS)
    places, came, expected = [], np.zeros(len(model.vocabulary)), np.zeros(len(model.vocabulary))
    random = np.random.default_rng(0)
    for text in model.samples("\n", num_tokens=each, num_samples=TEXTS, rng_seed=1).texts():
        ids = model.vocabulary.encode("\n" + text)
        for some in passes(model.text_model, ids, protocol="sliding", with_logits=True):
            shares = some.logits.double().softmax(-1).numpy()
            drawn, rows = some.targets.numpy(), np.arange(len(some.targets))
            below = shares.cumsum(-1)[rows, drawn] - shares[rows, drawn]
            places.append(below + random.random(len(rows)) * shares[rows, drawn])
            came += np.bincount(drawn, minlength=len(came))
            expected += shares.sum(0)
    found = np.bincount((np.concatenate(places) * PARTS).astype(int).clip(max=PARTS - 1), minlength=PARTS)
    likely = expected >= 5
    letters = float(((came - expected)[likely] ** 2 / expected[likely]).sum())
    parts = float(((found - found.mean()) ** 2 / found.mean()).sum())
    record(
        asked.append, benchmark="agreement", chars=int(found.sum()), params=model.params, chi_squared=round(parts, 1),
        p=round(beyond(parts, PARTS - 1), 4), letters_chi_squared=round(letters, 1),
        letters_p=round(beyond(letters, int(likely.sum()) - 1), 4), greedy_equal=greedy_equal(model), greedy_texts=PROMPTS,
    )  # fmt: skip


def beyond(chi_squared: float, freedom: int) -> float:
    """The probability of so much or more by chance."""
    half = torch.tensor([freedom / 2, chi_squared / 2], dtype=torch.float64)
    return float(torch.special.gammaincc(*half))


def greedy_equal(model: LanguageModel) -> int:
    """How many of the greedy texts are the same from the compiled and from the plain path."""
    held_out, equal = model.held_out(), 0
    plain = TorchBackend(model.transformer, model.file.counts, model.file.line_break)
    for i in range(PROMPTS):
        prompt = held_out[i * 997 : i * 997 + 20]
        limits = Limits(num_tokens=GREEDY_CHARS)
        (text,) = generate(plain, model.vocabulary, prompt, sampler=Sampler(greedy=True), limits=limits).texts()
        equal += model.generate(prompt, num_tokens=GREEDY_CHARS, greedy=True) == text
    return equal


if __name__ == "__main__":
    main()
