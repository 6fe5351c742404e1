"""Python interface: a facade with no logic of its own.

    train(input_file=…) or load(path) ──▶ LanguageModel ──▶ generate · stream · evaluate · score · novelty · compress

loaded    a model file, and what is made of it when asked for    model     LanguageModel: all of that together
write     what it writes                                         train     from a text to a LanguageModel
score     what it makes of texts                                 classify  which of several models finds a text likeliest
compress  any content in its bits                                options   keywords of generate and train (`make docs`)

PyTorch is loaded by what needs it, when it is asked for: a model is read without.
"""

from letterwise.api.classify import classify
from letterwise.api.model import LanguageModel, load
from letterwise.api.options import GenerateOptions, TrainOptions
from letterwise.api.train import read_text, train

__all__ = ["GenerateOptions", "LanguageModel", "TrainOptions", "classify", "load", "read_text", "train"]
