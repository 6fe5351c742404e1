"""CPU: the transformer of letterwise/model, compiled for writing on a CPU. Bottom to top, each built on the one before:

simd      LLVM's instructions for 16 numbers at a time
matmul    a matrix times some vectors, made of them
threads   threads that go through one compiled function together
layout    a model's weights, as the kernel reads them
kernel    the formulas: characters in, logits out
dfa_tables · decode  characters drawn and read one after another, for many texts at once
backend   a model, its layout and its threads, as the engine calls them
ahead     all of it compiled before anybody waits for it
"""
