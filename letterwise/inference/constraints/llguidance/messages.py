"""Messages: llguidance's error messages, in plain words for the person who made the request.

    "at 2(7): params not supported yet" ──▶ "line 2, character 7: templates are not read here: write the rule out"

The messages that were met are listed here. Any other is shown as it is.
"""

import re

NOTHING_FITS = "no JSON fits it"
MESSAGES = [  # llguidance's, and ours
    (r".*lookarounds not supported.*", "^ and $ stand at the ends of a text: leave them out, since the whole text matches"),
    (r"Unsatisfiable schema: .*", NOTHING_FITS),
    (r"patternProperty regexes /(.*)/ and /(.*)/ are not disjoint",
     r"a name can match both '\1' and '\2': make the patterns of 'patternProperties' exclude each other, "
     "or write one for both"),
    (r"Failed to generate regex for .* range.*",
     "its bounds have too many digits: write bounds of 60 digits at most, or leave such a bound out"),
    (r"(Value for 'multipleOf' has too many digits).*", "'multipleOf' has too many digits: write one of fewer"),
    (r"Value is not JSON serializable: .*", "a number has too many digits: write one of fewer"),
    (r"Pointer '(.*)' does not exist", r"'$ref' leads to '#\1', which is not there"),
    (r"Anchor '(.*)' does not exist", r"'$ref' leads to '#\1', which is not there"),
    (r"Resource '(?:json-schema:///)?(.*)' is not present.*",
     r"'$ref' leads to '\1', and nothing is fetched: put it into '$defs'"),
    (r'Unimplemented keys: \["([^"]*)".*', r"'\1' is not supported"),
    (r"Unknown format: (.*)", r"format '\1' is not known: say it with 'pattern'"),
    (r"schema too large", "it has too many cases: make it smaller"),
    (r"(?:recursion limit exceeded|(?:.*)lark grammar too deeply nested).*",
     "it is nested too deeply: give parts names of their own"),
    (r"(.*)params not supported yet", r"\1templates are not read: write the rule out"),
    (r"(.*)priority not supported yet", r"\1priorities are not read: leave them out"),
    (r"(.*)(?:declare|override|extend) statement not supported yet", r"\1%declare, %override and %extend are not read"),
    (r"(.*)Unknown common regex: ([^;]*);.*", r"\1\2 is not among the terminals that can be imported, as common.WORD"),
    (r"(.*)lexer error", r'\1this cannot stand there; texts are in "double quotes", regexes between /slashes/'),
    (r"(.*)Expect(?:ed|ing) .*\(at \"(.*?)\" .*", r"\1'\2' cannot stand there"),
    (r'(.*)circular reference in token "(.*)" definition', r"\1\2 leads to itself: write its name in lower case, as a rule"),
    (r'(.*)unknown name: "(.*)"', r"\1there is no rule '\2'"),
    (r'(.*)duplicate rule: "(.*)"', r"\1there are two rules '\2'"),
    (r"no start rule found", "there is no rule 'start'"),
    (r"(.*)range end must be >= start, got \((\d+), (\d+)\)", r"\1~\2..\3 ends before it begins"),
    (r"look-around, .*", "it is look-around, which is not supported: write what may stand there"),
    (r"backreferences are not supported", "it is a back-reference, which is not supported"),
]  # fmt: skip
PATTERNS = [(re.compile(theirs, re.DOTALL), ours) for theirs, ours in MESSAGES]
POSITION = re.compile(r"^(?:at )?(\d+)\((\d+)\): ")


def in_plain_words(message: str) -> str:
    """The same, so that it makes sense to someone who knows only the request."""
    message = POSITION.sub(r"line \1, character \2: ", message.strip())
    for pattern, ours in PATTERNS:
        if found := pattern.fullmatch(message):
            return found.expand(ours)
    return message
