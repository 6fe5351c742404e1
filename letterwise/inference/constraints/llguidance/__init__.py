"""llguidance: for what neither a DFA nor Earley reads here, and for byte vocabularies, the library llguidance is asked.

messages      its error messages, in plain words
matcher       a place in grammars that llguidance reads: which characters may follow
completion    a best-first search for a short way from such a place to the end of a text
guide         both together: the guide of one text
"""
