"""Language: what a request says, as expressions, and those as automata.

regex          regular expressions, down to what stands for one character
json_schema · numbers · patterns   a JSON schema as an expression
lark           a grammar's rules as expressions that call each other
nfa · dfa      expressions as a nondeterministic automaton, and as a table
recursive_network   rules that call each other, each an NFA, and how far each place is from its end
"""
