"""Exporting: a model as files of another program. A file for each target: hf, gguf, onnx, html."""
