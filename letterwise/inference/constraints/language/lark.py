"""Lark: the rules of a grammar in Lark's syntax, as expressions that call each other.

    start: "(" start? ")" | /[0-9]/ ──rules_of──▶ {"start": Choice(Concat("(", Repeat(RuleRef("start"), 0, 1), ")"), "[0-9]")}

A grammar describes characters here, as Lark's Earley parser reads it with its dynamic lexer: a terminal takes as many
characters as let the whole text match, not as many as it can. What is ignored may stand before and behind each token.
What is not read here (templates, …) is left to llguidance.
"""

import re

from letterwise.inference.constraints.language.expression import (
    QUANTIFIERS,
    START_RULE,
    CharClass,
    Choice,
    Concat,
    Expression,
    Repeat,
    RuleRef,
    Unsupported,
    choice_of,
    literal,
    transformed,
)
from letterwise.inference.constraints.language.regex import parse, parse_whole

TOKEN = re.compile(
    r"""(?P<skip>[ \t\r\f]+|(?://|\#)[^\n]*)|(?P<line>\n)|(?P<string>"(?:\\.|[^"\\\n])*"i?)|(?P<regex>/(?!/)(?:\\.|[^/\\\n])+/[a-z]*)"""
    r"""|(?P<name>[!?]?_*[a-z][a-z0-9_]*|_*[A-Z][A-Z0-9_]*)|(?P<number>\d+)"""
    r"""|(?P<ignore>%ignore)|(?P<import>%import[ ]+common\.[A-Z_]+)"""
    r"""|(?P<sign>\.\.|->|[|()\[\]*+?:~.])"""
)
QUOTED = re.compile(r"""(?P<string>"(?:\\.|[^"\\\n])*")|(?P<regex>/(?!/)(?:\\.|[^/\\\n])+/)|(?://|\#)[^\n]*""")  # or a comment
ESCAPE = re.compile(r"\\(?:x([0-9A-Fa-f]{2})|u([0-9A-Fa-f]{4})|(.))", re.DOTALL)
ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "f": "\f", '"': '"', "\\": "\\", "/": "/", "'": "'"}
IGNORED = "%ignore"  # the name of a rule
COMMON = {  # of Lark's grammars/common.lark, by what they mean
    "DIGIT": "[0-9]", "HEXDIGIT": "[0-9A-Fa-f]", "INT": "[0-9]+", "SIGNED_INT": "[+-]?[0-9]+",
    "DECIMAL": r"[0-9]+\.[0-9]*|\.[0-9]+", "FLOAT": r"[0-9]+[Ee][+-]?[0-9]+|([0-9]+\.[0-9]*|\.[0-9]+)([Ee][+-]?[0-9]+)?",
    "NUMBER": r"([0-9]+\.[0-9]*|\.[0-9]+|[0-9]+)([Ee][+-]?[0-9]+)?",
    "SIGNED_NUMBER": r"[+-]?([0-9]+\.[0-9]*|\.[0-9]+|[0-9]+)([Ee][+-]?[0-9]+)?", "LCASE_LETTER": "[a-z]",
    "UCASE_LETTER": "[A-Z]", "LETTER": "[A-Za-z]", "WORD": "[A-Za-z]+", "CNAME": "[A-Za-z_][A-Za-z0-9_]*",
    "WS_INLINE": r"[ \t]+", "WS": r"[ \t\f\r\n]+", "CR": r"\r", "LF": r"\n", "NEWLINE": r"(\r?\n)+",
}  # fmt: skip


def rules_of(grammar: str) -> dict[str, Expression]:
    """The rules of a grammar that llguidance has found grammatical. Raises `Unsupported` where this cannot read it."""
    return _Parser(grammar).rules()


def inlined(rules: dict[str, Expression]) -> Expression:
    """The start rule, each call replaced by the rule that is called. Raises `Unsupported` when a rule leads to itself."""
    done: dict[str, Expression] = {}
    open_rules: list[str] = []  # those that are being replaced now

    def inline(node: Expression) -> Expression:
        """What stands for this part: of a rule's name, the rule."""
        if not isinstance(node, RuleRef):
            return node
        name = node.name
        if name in open_rules or name not in rules:
            raise Unsupported(name)
        if name not in done:
            open_rules.append(name)
            done[name] = transformed(rules[name], inline)
            open_rules.pop()
        return done[name]

    return inline(RuleRef(START_RULE))


class _Parser:
    """Reads one grammar, token by token: recursive descent."""

    def __init__(self, grammar: str) -> None:
        self.tokens: list[tuple[str, str]] = []
        at = 0
        while at < len(grammar):
            token = TOKEN.match(grammar, at)
            if not token or not token.lastgroup:
                raise Unsupported(grammar[at : at + 20])
            if token.lastgroup != "skip":
                self.tokens.append((token.lastgroup, token[0]))
            at = token.end()
        self.tokens.append(("line", "\n"))
        self.at, self.padded = 0, False  # `padded`: what is ignored may stand behind each token that is read

    def rules(self) -> dict[str, Expression]:
        """All rules and terminals, by name."""
        rules: dict[str, Expression] = {}
        ignored: list[Expression] = []
        while self.at < len(self.tokens):
            kind, text = self._next()
            if kind == "line":
                continue
            if kind == "ignore":
                self.padded = False
                ignored.append(self._alternatives(in_group=False))
                continue
            if kind == "import":
                name = text.rpartition(".")[2]
                if name not in COMMON or self._peek()[0] != "line":
                    raise Unsupported(text)
                rules[name] = parse_whole(COMMON[name])
                continue
            if kind == "name" and self._peek()[1] == ".":  # a priority
                self.at += 1
                if self._next()[0] != "number":
                    raise Unsupported(text)
            name = text.lstrip("!?")
            if kind != "name" or self._next()[1] != ":" or name in rules:
                raise Unsupported(text)
            self.padded = ("ignore", "%ignore") in self.tokens and not name.isupper()
            rules[name] = self._alternatives(in_group=False)
        if ignored:
            rules[IGNORED] = Repeat(Choice(tuple(ignored)), 0, None)
            rules[START_RULE] = Concat((RuleRef(IGNORED), rules[START_RULE]))
        return rules

    def _alternatives(self, in_group: bool) -> Expression:
        """Alternatives, up to a closing bracket or the end of the rule."""
        found: list[list[Expression]] = [[]]
        while self.at < len(self.tokens):
            kind, text = self._peek()
            if kind == "line":
                self._skip_lines()
                if not in_group and self._peek()[1] != "|":
                    break
            elif text in (")", "]"):
                break
            elif text == "|":
                self.at += 1
                found.append([])
            elif text == "->":
                self.at += 2
            else:
                found[-1].append(self._repeated(self._item()))
        return choice_of(found)

    def _item(self) -> Expression:
        """An item of a rule, with what the grammar ignores behind a token."""
        kind, text = self._peek()
        item = self._unpadded_item()
        is_token = kind in ("string", "regex") or (kind == "name" and text.isupper())
        return Concat((item, RuleRef(IGNORED))) if is_token and self.padded else item

    def _unpadded_item(self) -> Expression:
        """A string, range, regex, rule's name, or group."""
        kind, text = self._next()
        match kind:
            case "string" if self._peek()[1] == "..":
                self.at += 1
                first, last = _string(text), _string(self._next()[1])
                if len(first) != 1 or len(last) != 1:
                    raise Unsupported(text)
                return CharClass(f"[\\x{{{ord(first):x}}}-\\x{{{ord(last):x}}}]")
            case "string" if text.endswith("i"):
                return Concat(tuple(CharClass(f"\\x{{{ord(character):x}}}", "i") for character in _string(text[:-1])))
            case "string":
                return literal(_string(text))
            case "regex":
                return _regex(text)
            case "name" if text[0] not in "!?":
                return RuleRef(text)
            case "sign" if text in "([":
                inside = self._alternatives(in_group=True)
                if self._next()[1] != {"(": ")", "[": "]"}[text]:
                    raise Unsupported(text)
                return inside if text == "(" else Repeat(inside, 0, 1)
        raise Unsupported(text)

    def _repeated(self, item: Expression) -> Expression:
        """An item with the signs behind it that repeat it."""
        while True:
            _, text = self._peek()
            if text in QUANTIFIERS:
                self.at += 1
                item = Repeat(item, *QUANTIFIERS[text])
            elif text == "~":
                self.at += 1
                minimum = maximum = self._number()
                if self._peek()[1] == "..":
                    self.at += 1
                    maximum = self._number()
                item = Repeat(item, minimum, maximum)
            else:
                return item

    def _number(self) -> int:
        """A number of repetitions."""
        kind, text = self._next()
        if kind != "number":
            raise Unsupported(text)
        return int(text)

    def _peek(self) -> tuple[str, str]:
        """The next token, (kind, text), which stays the next."""
        return self.tokens[self.at] if self.at < len(self.tokens) else ("line", "\n")

    def _next(self) -> tuple[str, str]:
        """The next token."""
        self.at += 1
        return self.tokens[self.at - 1] if self.at <= len(self.tokens) else ("line", "\n")

    def _skip_lines(self) -> None:
        while self.at < len(self.tokens) and self.tokens[self.at][0] == "line":
            self.at += 1


def _string(quoted: str) -> str:
    """What a string in quotes stands for."""

    def character(escape: re.Match[str]) -> str:
        if escape[3]:
            if escape[3] not in ESCAPES:
                raise Unsupported(quoted)
            return ESCAPES[escape[3]]
        return chr(int(escape[1] or escape[2], 16))

    return ESCAPE.sub(character, quoted[1:-1])


def _regex(slashed: str) -> Expression:
    regex, _, flags = slashed[1:].rpartition("/")
    regex = regex.replace(r"\/", "/")
    if regex[:1] == "^" or not set(flags) <= set("is"):
        raise Unsupported(slashed)
    return parse(f"(?{flags}:{regex})") if flags else parse(regex)
