"""A page that runs a model: one HTML file with its numbers, an engine in JavaScript, and what a person sees.

engine/   unpack ▸ simd ▸ memory ▸ bricks ▸ counts ▸ transformer ▸ windows ▸ sampler ▸ worker: the model, in a thread of its own
view/     page.html, page.css, alphabet ▸ coloured ▸ details ▸ page: what is written and read in the browser
Python    rounding ▸ pack ▸ describe ▸ assemble: the file
"""
