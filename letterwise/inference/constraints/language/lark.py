"""Lark: a grammar's rules, as expressions that call each other.

    start: "(" start? ")" | /[0-9]/ ──rules_of──▶ {"start": Choice(Row("(", Repeat(Rule("start"), 0, 1), ")"), One("[0-9]"))}

A grammar describes characters here, as Lark's Earley parser reads it with its dynamic lexer: a terminal takes as many
characters as let the whole text match, not as many as it can. What is not read here (%ignore, templates, …) is left to the
engine.
"""

import re

from letterwise.inference.constraints.language.regex import (
    Choice,
    Expression,
    One,
    Repeat,
    Row,
    Rule,
    Unusual,
    literal,
    parse,
    whole,
)

TOKEN = re.compile(
    r"""(?P<skip>[ \t\r\f]+|(?://|\#)[^\n]*)|(?P<line>\n)|(?P<string>"(?:\\.|[^"\\\n])*"i?)|(?P<regex>/(?!/)(?:\\.|[^/\\\n])+/[a-z]*)"""
    r"""|(?P<name>[!?]?_*[a-z][a-z0-9_]*|_*[A-Z][A-Z0-9_]*)|(?P<number>\d+)|(?P<import>%import[ ]+common\.[A-Z_]+)"""
    r"""|(?P<sign>\.\.|->|[|()\[\]*+?:~.])"""
)
QUOTED = re.compile(r"""(?P<string>"(?:\\.|[^"\\\n])*")|(?P<regex>/(?!/)(?:\\.|[^/\\\n])+/)|(?://|\#)[^\n]*""")  # or a comment
ESCAPE = re.compile(r"\\(?:x([0-9A-Fa-f]{2})|u([0-9A-Fa-f]{4})|(.))", re.DOTALL)
ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "f": "\f", '"': '"', "\\": "\\", "/": "/", "'": "'"}
SIGNS = {"*": (0, None), "+": (1, None), "?": (0, 1)}
COMMON = {  # of Lark's grammars/common.lark, by what they mean
    "DIGIT": "[0-9]", "HEXDIGIT": "[0-9A-Fa-f]", "INT": "[0-9]+", "SIGNED_INT": "[+-]?[0-9]+",
    "DECIMAL": r"[0-9]+\.[0-9]*|\.[0-9]+", "FLOAT": r"[0-9]+[Ee][+-]?[0-9]+|([0-9]+\.[0-9]*|\.[0-9]+)([Ee][+-]?[0-9]+)?",
    "NUMBER": r"([0-9]+\.[0-9]*|\.[0-9]+|[0-9]+)([Ee][+-]?[0-9]+)?",
    "SIGNED_NUMBER": r"[+-]?([0-9]+\.[0-9]*|\.[0-9]+|[0-9]+)([Ee][+-]?[0-9]+)?", "LCASE_LETTER": "[a-z]",
    "UCASE_LETTER": "[A-Z]", "LETTER": "[A-Za-z]", "WORD": "[A-Za-z]+", "CNAME": "[A-Za-z_][A-Za-z0-9_]*",
    "WS_INLINE": r"[ \t]+", "WS": r"[ \t\f\r\n]+", "CR": r"\r", "LF": r"\n", "NEWLINE": r"(\r?\n)+",
}  # fmt: skip


def rules_of(grammar: str) -> dict[str, Expression]:
    """The rules of a grammar that the engine has found grammatical. Raises `Unusual` where this cannot read it."""
    return _Reader(grammar).rules()


def inlined(rules: dict[str, Expression], name: str = "start") -> Expression:
    """A rule with all that it calls in their places. Raises `Unusual` when one of them leads to itself."""
    done: dict[str, Expression] = {}

    def of_rule(name: str, within: frozenset[str]) -> Expression:
        if name in within or name not in rules:
            raise Unusual(name)
        if name not in done:
            done[name] = inside(rules[name], within | {name})
        return done[name]

    def inside(expression: Expression, within: frozenset[str]) -> Expression:
        match expression:
            case Rule(name):
                return of_rule(name, within)
            case Row(parts):
                return Row(tuple(inside(part, within) for part in parts))
            case Choice(parts):
                return Choice(tuple(inside(part, within) for part in parts))
            case Repeat(part, least, most):
                return Repeat(inside(part, within), least, most)
        return expression

    return of_rule(name, frozenset())


class _Reader:
    """Reads one grammar, token by token."""

    def __init__(self, grammar: str) -> None:
        self.tokens: list[tuple[str, str]] = []
        at = 0
        while at < len(grammar):
            token = TOKEN.match(grammar, at)
            if not token or not token.lastgroup:
                raise Unusual(grammar[at : at + 20])
            if token.lastgroup != "skip":
                self.tokens.append((token.lastgroup, token[0]))
            at = token.end()
        self.tokens.append(("line", "\n"))
        self.at = 0

    def rules(self) -> dict[str, Expression]:
        """All rules and terminals, by name."""
        rules: dict[str, Expression] = {}
        while self.at < len(self.tokens):
            kind, text = self._next()
            if kind == "line":
                continue
            if kind == "import":
                name = text.rpartition(".")[2]
                if name not in COMMON or self._peek()[0] != "line":
                    raise Unusual(text)
                rules[name] = whole(COMMON[name])
                continue
            if kind == "name" and self._peek()[1] == ".":  # a priority
                self.at += 1
                if self._next()[0] != "number":
                    raise Unusual(text)
            name = text.lstrip("!?")
            if kind != "name" or self._next()[1] != ":" or name in rules:
                raise Unusual(text)
            rules[name] = self._choices(inside=False)
        return rules

    def _choices(self, inside: bool) -> Expression:
        """Alternatives, up to a closing bracket or the end of the rule."""
        choices: list[Expression] = []
        row: list[Expression] = []
        while self.at < len(self.tokens):
            kind, text = self._peek()
            if kind == "line":
                self._over_lines()
                if not inside and self._peek()[1] != "|":
                    break
            elif text in (")", "]"):
                break
            elif text == "|":
                self.at += 1
                choices.append(Row(tuple(row)))
                row = []
            elif text == "->":
                self.at += 2
            else:
                row.append(self._repeated(self._item()))
        choices.append(Row(tuple(row)))
        return choices[0] if len(choices) == 1 else Choice(tuple(choices))

    def _item(self) -> Expression:
        kind, text = self._next()
        match kind:
            case "string" if self._peek()[1] == "..":
                self.at += 1
                ends = [_text(text), _text(self._next()[1])]
                if any(len(end) != 1 for end in ends):
                    raise Unusual(text)
                return One(f"[\\x{{{ord(ends[0]):x}}}-\\x{{{ord(ends[1]):x}}}]")
            case "string" if text.endswith("i"):
                return Row(tuple(One(f"\\x{{{ord(character):x}}}", "i") for character in _text(text[:-1])))
            case "string":
                return literal(_text(text))
            case "regex":
                return _regex(text)
            case "name" if text[0] not in "!?":
                return Rule(text)
            case "sign" if text in "([":
                inside = self._choices(inside=True)
                if self._next()[1] != {"(": ")", "[": "]"}[text]:
                    raise Unusual(text)
                return inside if text == "(" else Repeat(inside, 0, 1)
        raise Unusual(text)

    def _repeated(self, item: Expression) -> Expression:
        while True:
            _, text = self._peek()
            if text in SIGNS:
                self.at += 1
                item = Repeat(item, *SIGNS[text])
            elif text == "~":
                self.at += 1
                least = most = self._number()
                if self._peek()[1] == "..":
                    self.at += 1
                    most = self._number()
                item = Repeat(item, least, most)
            else:
                return item

    def _number(self) -> int:
        kind, text = self._next()
        if kind != "number":
            raise Unusual(text)
        return int(text)

    def _peek(self) -> tuple[str, str]:
        return self.tokens[self.at] if self.at < len(self.tokens) else ("line", "\n")

    def _next(self) -> tuple[str, str]:
        self.at += 1
        return self.tokens[self.at - 1] if self.at <= len(self.tokens) else ("line", "\n")

    def _over_lines(self) -> None:
        while self.at < len(self.tokens) and self.tokens[self.at][0] == "line":
            self.at += 1


def _text(quoted: str) -> str:
    """What a string in quotes stands for."""

    def meant(escape: re.Match[str]) -> str:
        if escape[3]:
            if escape[3] not in ESCAPES:
                raise Unusual(quoted)
            return ESCAPES[escape[3]]
        return chr(int(escape[1] or escape[2], 16))

    return ESCAPE.sub(meant, quoted[1:-1])


def _regex(slashed: str) -> Expression:
    regex, _, flags = slashed[1:].rpartition("/")
    regex = regex.replace(r"\/", "/")
    if regex[:1] == "^" or not set(flags) <= set("is"):
        raise Unusual(slashed)
    return parse(f"(?{flags}:{regex})") if flags else parse(regex)
