"""Inference: what comes next? The engine answers, sampling chooses, generate turns the choices into text.

backend         what a model must do to be written with
cpu/            the model as compiled code, which a CPU writes with
torch_backend   the model as it stands in letterwise/model, on any device
windows         texts being read side by side, each at its own place; what happens when the context is full
sampling/       from logits to the next character
constraints/    what a text has to match
engine          many texts written side by side, each in its own way; they join and leave at any character
generate        a prompt in, text out, piece by piece; stop says where it ends
beam · lines    the likeliest text; whole lines, only those that are wanted
"""
