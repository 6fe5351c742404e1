"""Online: a model that goes on learning from the text it reads. Scored first, learned from afterwards."""

from letterwise.online.predictor import Online, beginning
from letterwise.online.score import evaluate

__all__ = ["Online", "beginning", "evaluate"]
