"""Language: what a request describes, first as an expression tree, then as an automaton.

expression             the tree: character classes, sequences, choices, repetitions, rules
regex                  a regular expression as a tree
schema                 a JSON schema as a tree
lark                   a grammar's rules as trees that call each other
nfa                    a tree as a nondeterministic automaton
product                two trees as one automaton: texts that both describe
subset_construction    several NFAs as one DFA: texts that match all of them
dfa                    the table, and a draw that stays inside it
rtn                    rules that call each other, each an NFA, and how far each state is from its end
"""
