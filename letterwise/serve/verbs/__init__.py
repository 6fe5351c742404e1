"""Verbs: what else a model can be asked, at /api, a file for each. All are methods of `LanguageModel`, over the wire.

reading      what a request about a text may hold        answers    what is computed, spelled without holding up the others
score · next_character · novelty                         of a text
attention · lens · embedding · inspect · source          of what is inside a model
runs                                                     of how models learn
"""

from letterwise.serve.verbs import attention, embedding, inspect, lens, next_character, novelty, runs, score, source

ROUTERS = [
    score.router, next_character.router, novelty.router, attention.router, lens.router, embedding.router, inspect.router,
    source.router, runs.router,
]  # fmt: skip
