"""Regular expressions from the map, matched in time proportional to the text.

Python's own engine backtracks, so a crafted text can keep it busy for hours. Expressions are therefore matched by the
engine that pydantic ships, which follows all alternatives at once. They keep their meaning in Python's `re`, which
parses them and says of each character which single characters and sets of the expression match it. Characters that
the expression does not distinguish become one sign, and the other engine matches the signs. Features that this engine
lacks (look-around, back-references) are refused when the map is read.
Source: docs.rs/regex (untrusted patterns; syntax), docs.python.org/3/library/re.html.
"""

from __future__ import annotations

import re
import threading
import warnings
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from importlib import import_module
from typing import Any

from pydantic_core import SchemaError, SchemaValidator, core_schema

LONGEST_PATTERN = 2_000
"""Most characters of a regular expression; people do not write longer ones."""

STATES_LIMIT = 2_000
"""Most parts of a regular expression with its repetitions expanded: the time per character grows with them."""

WORK_LIMIT = 10_000_000
"""Most parts of an expression times characters of a text: at worst half a second, and 500,000 characters for an
expression of twenty parts."""

LONGEST_TEXT = 1_000_000
"""Most characters of a text to match, for any expression."""

SIGNS_KEPT = 4_096
"""Most characters with a cached sign: as many as a language has."""

_IN_WORDS, _BETWEEN_WORDS = 0x4E00, 0x2500
"""Where the signs for word characters and for others begin; each range has room for some thousands."""

_parser: Any = import_module("re._parser")

_INSTEAD = {
    "ASSERT": "look-ahead and look-behind, (?=...) and (?<=...), are not known here; write what the whole text is",
    "ASSERT_NOT": "look-ahead and look-behind, (?!...) and (?<!...), are not known here; write what the text may be, "
    "for example [^x]* instead of (?!.*x).*, or a rule under rules:",
    "FAILURE": "look-ahead, (?!...), is not known here; write what the text may be",
    "GROUPREF": r"references back to a group, \1 and (?P=name), are not known here; write a rule under rules:",
    "GROUPREF_EXISTS": "conditions, (?(1)...), are not known here; write the alternatives with |",
    "ATOMIC_GROUP": "atomic groups, (?>...), are not known here; write (?:...), which is as quick",
    "POSSESSIVE_REPEAT": "possessive repetitions, ++ and *+ and ?+, are not known here; write +, * or ?",
}


class PatternError(ValueError):
    """An unusable regular expression; the text says what to write instead."""


class Pattern:
    """A regular expression, ready to match.

    Attributes:
        pattern, flags: as given.
    """

    def __init__(self, pattern: str, flags: int = 0) -> None:
        self.pattern, self.flags = pattern, flags
        read, flags = _read(pattern, flags)
        self._least, self._most = read.getwidth()
        self._longest = min(LONGEST_TEXT, WORK_LIMIT // max(1, _size(read)))
        whole, anywhere = _Writer(whole=True), _Writer(whole=False)
        self._whole = [r"\A(?:", *whole.sequence(read, flags, last=True), r")\z"]
        self._anywhere = anywhere.sequence(read, flags, last=True)
        self._signs = _Signs(whole.atoms, ascii_words=whole.ascii_words)
        self._ready: dict[bool, tuple[int, SchemaValidator]] = {}
        for each in (True, False):
            self._matcher(whole=each)

    def fullmatch(self, text: str) -> bool:
        """Whether it matches the whole of a text. Raises PatternError for a text that is too long."""
        if not self._least <= len(text) <= self._most:
            return False
        return self._matches(text, whole=True)

    def search(self, text: str) -> bool:
        """Whether it matches anything in a text. Raises PatternError for a text that is too long."""
        return self._matches(text, whole=False)

    def _matches(self, text: str, *, whole: bool) -> bool:
        if len(text) > self._longest:
            raise PatternError(f"a text of more than {self._longest:,} characters is not matched")
        signs = text.translate(self._signs)
        return self._matcher(whole=whole).isinstance_python(signs)

    def _matcher(self, *, whole: bool) -> SchemaValidator:
        """The matcher for signs, rebuilt when there are signs that it does not know."""
        made = self._ready.get(whole)
        if made is None or made[0] != self._signs.kinds:
            signs = self._signs.known()
            parts = self._whole if whole else self._anywhere
            written = "".join(_either(each, signs) if isinstance(each, int) else each for each in parts)
            made = self._ready[whole] = len(signs), _validator(written)
        return made[1]


class _Signs(dict[int, int]):
    """The sign of each character; characters that match the same atoms share one.

    Args:
        atoms: the single characters and sets of an expression.
        ascii_words: only ASCII letters are part of a word, for word boundaries in the expression.
    """

    def __init__(self, atoms: Sequence[re.Pattern[str]], *, ascii_words: bool) -> None:
        super().__init__()
        self._atoms = [*atoms, re.compile(r"\w", re.ASCII if ascii_words else 0)]
        self._kinds: dict[tuple[int, ...], int] = {}
        self._lock = threading.Lock()
        self[ord("\n")] = self._sign("\n")

    @property
    def kinds(self) -> int:
        """How many signs are assigned so far."""
        return len(self._kinds)

    def known(self) -> dict[tuple[int, ...], int]:
        """The signs assigned so far, by the atoms that match their characters."""
        with self._lock:
            return dict(self._kinds)

    def __missing__(self, code: int) -> int:
        sign = self._sign(chr(code))
        if len(self) < SIGNS_KEPT:
            self[code] = sign
        return sign

    def _sign(self, character: str) -> int:
        matched = tuple(at for at, atom in enumerate(self._atoms) if atom.fullmatch(character))
        # A line break has a sign of its own, at which lines begin and end.
        kind = (*matched, -1) if character == "\n" else matched
        with self._lock:
            if kind not in self._kinds:
                in_word = len(self._atoms) - 1 in matched
                number = sum((len(self._atoms) - 1 in each) == in_word for each in self._kinds)
                first = _IN_WORDS if in_word else _BETWEEN_WORDS
                self._kinds[kind] = ord("\n") if character == "\n" else first + number
            return self._kinds[kind]


def _either(atom: int, signs_by_atoms: Mapping[tuple[int, ...], int]) -> str:
    """A set of the signs that an atom matches."""
    signs = "".join(f"\\x{{{sign:x}}}" for matched, sign in signs_by_atoms.items() if atom in matched)
    return f"[{signs}]" if signs else r"[^\x{0}-\x{10ffff}]"


@lru_cache(maxsize=1024)
def pattern(text: str, flags: int = 0) -> Pattern:
    """A regular expression, compiled once.

    Raises:
        PatternError: it is invalid, too large, or needs unbounded time.
    """
    return Pattern(text, flags)


def _read(text: str, flags: int) -> tuple[Any, int]:
    if len(text) > LONGEST_PATTERN:
        raise PatternError(f"a regular expression of {len(text):,} characters; up to {LONGEST_PATTERN:,} are read")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about what a later Python may read otherwise
            read = _parser.parse(text, flags)
    except (re.error, OverflowError) as error:
        raise PatternError(f"not a regular expression: {error}") from None
    except RecursionError:
        raise PatternError("a regular expression that is nested too deep") from None
    if (size := _size(read)) > STATES_LIMIT:
        raise PatternError(
            f"a regular expression that stands for {size:,} parts when its repetitions are written out, and up to "
            f"{STATES_LIMIT:,} are matched; write * or + instead of a large number, and bound the length by a rule"
        )
    return read, int(read.state.flags)


def _size(read: Sequence[Any]) -> int:
    """The number of parts with repetitions expanded."""
    size = 0
    for operation, given in read:
        name = str(operation)
        if name in {"MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"}:
            least, most, inner = given
            size += _size(inner) * max(1, least if most is _parser.MAXREPEAT else most)
        elif name == "BRANCH":
            size += sum(_size(each) for each in given[1])
        elif name == "SUBPATTERN":
            size += _size(given[3])
        else:
            size += 1
    return size


def _validator(written: str) -> SchemaValidator:
    try:
        return SchemaValidator(core_schema.str_schema(pattern=written, regex_engine="rust-regex"))
    except SchemaError:
        raise PatternError("a regular expression that is too large when it is compiled; write less of it") from None


class _Writer:
    """Rewrites an expression parsed by `re` for the other engine: its parts, with numbers in place of atoms.

    Attributes:
        whole: a text is matched as a whole, so that nothing follows the end.
        atoms: the single characters and sets, by their number.
        ascii_words: what `\\b` treats as a word.
    """

    def __init__(self, *, whole: bool) -> None:
        self.whole = whole
        self.ascii_words = False
        self._borders: set[bool] = set()
        self._numbers: dict[tuple[str, int], int] = {}

    @property
    def atoms(self) -> list[re.Pattern[str]]:
        return [re.compile(written, flags) for written, flags in self._numbers]

    def sequence(self, read: Iterable[Any], flags: int, *, last: bool) -> list[str | int]:
        """Parts in order; `last` if nothing of the expression follows them."""
        parts = list(read)
        return [
            each
            for at, (operation, given) in enumerate(parts)
            for each in self.part(str(operation), given, flags, last=last and at == len(parts) - 1)
        ]

    def part(self, name: str, given: Any, flags: int, *, last: bool) -> list[str | int]:
        if name in _INSTEAD:
            raise PatternError(_INSTEAD[name])
        if name == "ANY":
            return [self.atom("(?s:.)" if flags & re.DOTALL else ".", flags)]
        if name in {"LITERAL", "NOT_LITERAL", "IN"}:
            return [self.atom(_set(name, given), flags)]
        if name == "BRANCH":
            written: list[str | int] = []
            for each in given[1]:
                written += ["|", *self.sequence(each, flags, last=last)]
            return ["(?:", *written[1:], ")"]
        if name == "SUBPATTERN":
            _, added, taken, inner = given
            return ["(?:", *self.sequence(inner, (flags | added) & ~taken, last=last), ")"]
        if name in {"MAX_REPEAT", "MIN_REPEAT"}:
            least, most, inner = given
            times = f"{{{least},{'' if most is _parser.MAXREPEAT else most}}}"
            return ["(?:", *self.sequence(inner, flags, last=last and most == 1), f"){times}"]
        if name == "AT":
            return [self.place(str(given), flags, last=last)]
        raise PatternError(f"a regular expression with {name.lower()}, which is not known here")

    def atom(self, written: str, flags: int) -> int:
        return self._numbers.setdefault((written, flags & (re.IGNORECASE | re.ASCII)), len(self._numbers))

    def place(self, name: str, flags: int, *, last: bool) -> str:
        if name == "AT_BEGINNING":
            return "(?m:^)" if flags & re.MULTILINE else r"\A"
        if name == "AT_BEGINNING_STRING":
            return r"\A"
        if name == "AT_END_STRING":
            return r"\z"
        if name == "AT_END":
            if flags & re.MULTILINE:
                return "(?m:$)"
            if not last:
                raise PatternError("a $ that is not at the end; write it there, or leave it out")
            return r"\z" if self.whole else r"\n?\z"  # before a line break at the very end, too
        self._borders.add(bool(flags & re.ASCII))
        if len(self._borders) > 1:
            raise PatternError("borders of ASCII words and of others in one expression; write (?a) at its beginning")
        self.ascii_words = bool(flags & re.ASCII)
        return {"AT_BOUNDARY": r"\b", "AT_NON_BOUNDARY": r"\B"}[name]


def _set(name: str, given: Any) -> str:
    """One character or a set, in the syntax of `re`."""
    if name != "IN":
        return f"[{'^' if name == 'NOT_LITERAL' else ''}{_sign(given)}]"
    written = ""
    for operation, operand in given:
        if str(operation) == "NEGATE":
            written += "^"
        elif str(operation) == "LITERAL":
            written += _sign(operand)
        elif str(operation) == "RANGE":
            written += f"{_sign(operand[0])}-{_sign(operand[1])}"
        else:
            written += _CLASSES[str(operand)]
    return f"[{written}]"


def _sign(code: int) -> str:
    return f"\\U{code:08x}"


_CLASSES = {
    f"CATEGORY_{word}{name}": (letter.upper() if word else letter)
    for name, letter in (("DIGIT", r"\d"), ("SPACE", r"\s"), ("WORD", r"\w"))
    for word in ("", "NOT_")
}
