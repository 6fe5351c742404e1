"""CPU: the transformer of letterwise/model, compiled. From the bottom up, each file is built on the ones before:

simd      LLVM's instructions for 16 numbers at a time
matmul    a matrix times some vectors, made of them
threads   a pool of threads that run one compiled function together
layout    a model's weights in one array, as the kernel reads them
kernel    the formulas: tokens in, logits out
dfa_tables · decode  characters drawn and read one after another, for many texts at once
backend   a model, its weights and its threads, as the engine calls them
ahead     all of it compiled before anybody waits for it
"""
