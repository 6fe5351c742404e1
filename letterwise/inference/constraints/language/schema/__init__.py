"""JSON Schema: what a schema says, as an expression tree of JSON texts.

keywords       is what was given a JSON schema?
merge          schemas that hold at once, as one
numbers        numbers between bounds, multiples
patterns       what a string holds that matches a pattern
json_schema    a schema as a tree, or as rules that call each other
"""
