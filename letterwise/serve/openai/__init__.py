"""OpenAI's API, as its clients speak it: /v1/models, /v1/completions, /v1/chat/completions.

requests     what may be asked, and what it means for the engine
choices      the texts of one request, piece by piece, from the scheduler
logprobs     what the model thought of each character
completions · chat · models     the endpoints; events: answers in pieces
"""

from letterwise.serve.openai import chat, completions, models

ROUTERS = [models.router, completions.router, chat.router]
