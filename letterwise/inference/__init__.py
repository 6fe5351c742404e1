"""Inference: what comes next? The engine answers, sampling chooses, generate turns the choices into text.

engine          what comes next, for several texts side by side
cpu/            the model as compiled code, which a CPU writes with
torch_backend   the model as it stands in letterwise/model, on any device
sampling/       from logits to the next character
constraints/    what a text has to match
generate        a prompt in, text out, piece by piece; stop says where it ends
beam · lines    the likeliest text; whole lines, only those that are wanted
"""
