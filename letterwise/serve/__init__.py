"""Serve: models behind an HTTP server, for programs (OpenAI's API) and for people (a page).

config       what may be asked for, and how much of it
program      a socket, uvicorn, signals: from start to end of `letterwise serve`
app          the application: guard, access log, errors, routers, page
guard        who may ask at all: host, origin, key, size of the body
library      names ──▶ models, each loaded once · workers: threads for what blocks
scheduler    everyone's requests for text in one engine
openai/      /v1: models, completions, chat            verbs/  /api: score, next, attention, …
page/        what a browser is sent                    metrics · access_log · errors

    request ──guard──▶ router ──library──▶ model ──scheduler──▶ pieces of text ──▶ answer, whole or as server-sent events
"""
