"""Constraints: what a text has to match, and which characters may follow so that it still can.

limits       what was asked for, as it came            requests      read, and refused in a sentence where it cannot be kept
constraint   from a request to a guide                 language/     regular expressions, JSON schemas, grammars: what they say
guide        what writing asks of any guide            dfa_guide · earley_guide · llguidance_guide   the three ways to know it
matching     a place in llguidance's grammars          completion    a short way from there to the end
"""
