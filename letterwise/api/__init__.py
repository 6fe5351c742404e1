"""Python interface, with no logic of its own.

    train(input_file=…) or load(path) ──▶ LanguageModel ──▶ generate · stream · evaluate · score · novelty · compress

loaded    a model file, and what is built from it when needed    model     LanguageModel: all of that together
write     what it writes                                         train     from a text to a LanguageModel
score     how it scores texts                                    classify  which of several models finds a text likeliest
compress  any bytes, compressed by its predictions               export    files that other programs read
options   keywords of generate and train (`make docs`)

PyTorch is imported only by what needs it: a model file is read without it.
"""

from letterwise.api.classify import classify
from letterwise.api.import_model import import_model
from letterwise.api.model import LanguageModel, load
from letterwise.api.options import GenerateOptions, TrainOptions
from letterwise.api.train import read_text, train

__all__ = ["GenerateOptions", "LanguageModel", "TrainOptions", "classify", "import_model", "load", "read_text", "train"]
