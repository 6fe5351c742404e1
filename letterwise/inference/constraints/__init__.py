"""Constraints: what a text has to match, and which characters may follow so that it still can.

limits                   what was asked for
normalize                what cannot be kept refused (regex_checks, schema_checks)
request                  what is asked, and the forms that it compiles to
language/                regular expressions, JSON schemas and grammars as automata
llguidance/              the library that is asked for the rest
constraint · refusal     the first form that works, or a sentence that says why none does; cache keeps those of a model
guide                    what generation asks of any guide, one for each text (dfa_guide, earley_guide, llguidance/guide)
"""
