"""Text from outside (values, keys, names, error messages, addresses) shown as text on every medium. Pure.

One function a medium. Each answers what the medium shows as exactly the text that came in, with what nobody
could see made visible: a control character as its picture, a character that turns the writing direction as its
number, a blank at either end or beside another as `␣`.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_right
from html import escape as _html

_SEEN = {0x200C, 0x200D}
"""Characters of no width that writing and emoji need: the joiners."""

_LONE_JOINER = re.compile("[\u200c\u200d](?![\u0590-\U0010ffff])|(?<![\u0590-\U0010ffff])[\u200c\u200d]")
"""A joiner where no writing and no emoji has one: at an end, or beside a Latin, Greek or Cyrillic letter."""

_BLANK_LETTERS = frozenset(
    [
        *(0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x2800, 0x3164, 0xFFA0),
        *(*range(0x180B, 0x1810), *range(0xFE00, 0xFE0E), *range(0xE0100, 0xE01F0)),
    ]
)
"""Letters and marks that show as nothing: fillers, and selectors of variants other than of emoji.

Source: Unicode, `Default_Ignorable_Code_Point` in DerivedCoreProperties.txt; U+2800 is an empty Braille cell.
"""

_UNUSUAL = re.compile("[^ -~]")
"""What is looked at one by one; long texts are mostly of other characters."""

_PLAIN = re.compile("[!-~]++(?: [!-~]++)*+")
"""What is visible as it is, found six times as fast: most of the cells of large tables."""

_SPLIT = ":color[]"
"""An empty span of Streamlit's Markdown. It parts a text in two for whatever looks at texts after the parsing."""

_FORMULA = re.compile(
    "[\\s\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff\\0]*[=+\\-@\uff1d\uff0b\uff0d\uff20]|[\\t\\r\\n]"
)
"""What a spreadsheet calculates: also after blanks and what nobody sees, which some of them take away."""

_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_SPECIAL = re.compile(r"([\\`*{}\[\]<>#!|~$&])|(?<![^\W_])(_)|(_)(?![^\W_])")
_LEADING = re.compile(r"^(\d*)([-+.)=])")
_ALIVE = re.compile(r"(:)(?=\S)|(?<=[Ww])(?=\.)|(@)|(?<=[<>~=-])(?=(?:\\?)[<>~=-])")
"""Emoji, addresses and typographic arrows, which Streamlit and GitHub's Markdown find in what was escaped."""


_WEB_ADDRESS = re.compile(r"https?://[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=%-]+")
"""Its characters: RFC 3986, section 2."""

_DOCUMENT_SPECIAL = re.compile(r"[\\`*{}\[\]<>#!|~$&]|(?<![^\W_])_|_(?![^\W_])")
_DOCUMENT_ALIVE = re.compile(r"[:@](?=\S)|#(?=\d)|(?<=[Ww])(?=\.)")
_MERMAID = re.compile(r"[\x21-\x7e](?<![A-Za-z0-9_.,/()+-])")


def visible(text: object) -> str:
    """The text with every character that cannot be seen replaced by a sign for it."""
    told = str(text)
    if _PLAIN.fullmatch(told):
        return told
    told = _signs(told)
    return re.sub(r"^ +| +$| {2,}", lambda blanks: "␣" * len(blanks[0]), told)


def block(text: object) -> str:
    """The text for a preformatted block, where lines and tabs show as what they are."""
    return "".join(each if each in "\n\t" else _sign(each) for each in _joined(str(text)))


def unseen_escaped(document: str) -> str:
    """JSON that says the same with every character that cannot be seen written as its number."""

    def escape(found: re.Match[str]) -> str:
        character = found[0]
        return character if character == "\n" or _sign(character) == character else _json_escape(character)

    return _UNUSUAL.sub(escape, document)


def _json_escape(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))


def _signs(text: str) -> str:
    return "".join(map(_sign, _joined(text)))


def _joined(text: str) -> str:
    return _LONE_JOINER.sub(lambda found: f"⟨U+{ord(found[0]):04X}⟩", text)


def _sign(character: str) -> str:
    code = ord(character)
    if code < 0x20:
        return chr(0x2400 + code)
    if code == 0x7F:
        return "\u2421"
    if code in _BLANK_LETTERS:
        return f"⟨U+{code:04X}⟩"
    if code in _SEEN or unicodedata.category(character) not in {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}:
        return character
    return f"⟨U+{code:04X}⟩"


def markdown(text: object) -> str:
    """The text for Streamlit's Markdown: body, label, table cell or tooltip."""
    told = _SPECIAL.sub(lambda found: "\\" + found[0], visible(text))
    told = _LEADING.sub(r"\1\\\2", told)

    def part(found: re.Match[str]) -> str:
        character = found[0]
        return f"\\{character}{_SPLIT}" if character else _SPLIT

    return _ALIVE.sub(part, told)


def markdown_link(text: object, address: str) -> str:
    """A link for Streamlit's Markdown, which opens in a new tab; the text alone if the address is no web address."""
    if not _WEB_ADDRESS.fullmatch(address):
        return markdown(text)
    return f"[{markdown(text)}](<{address.replace('&', '&amp;')}>)"


def marked(text: str, start: int, end: int) -> str:
    """The text for Streamlit's Markdown, with the part between two positions marked.

    Args:
        text: as `visible` answers it.
    """
    part = text[start:end].strip(" ")
    if part:  # Markdown drops blanks at the ends of a marked part
        start += text[start:end].index(part)
        end = start + len(part)
    before, told, after = _within(text[:start]), markdown(part) or "␣" * (end - start), _within(text[end:])
    if before.endswith(":"):
        before = f"{before[:-1]}\\:{_SPLIT}"
    return f"{before}:red-background[{told}]{after}"


def _within(piece: str) -> str:
    """A piece of a text for Streamlit's Markdown; single blanks at its ends are those of the text around it."""
    told = piece.strip(" ")
    lead = len(piece) - len(piece.lstrip(" "))
    return piece if not told else " " * lead + markdown(told) + " " * (len(piece) - lead - len(told))


def document(text: object) -> str:
    """The text for a Markdown document of ours, as CommonMark and GitHub read it; on one line.

    A word joiner keeps apart what would become an address, an e-mail address, a mention or an emoji.
    """
    told = _DOCUMENT_SPECIAL.sub(r"\\\g<0>", visible(" ".join(str(text).split())))
    told = _LEADING.sub(r"\1\\\2", told)
    return _DOCUMENT_ALIVE.sub("\\g<0>\u2060", told)


def mermaid(text: object) -> str:
    """The text for a quoted label of a Mermaid diagram, on one line: what means something there is its entity code.

    Source: "Entity codes to escape characters", https://mermaid.js.org/syntax/flowchart.html
    """
    told = visible(" ".join(str(text).split()))
    return _MERMAID.sub(lambda found: f"#{ord(found[0])};", told)


def svg(text: object) -> str:
    """The text for an element of an SVG picture."""
    return _html(visible(text))


def plotly(text: object) -> str:
    """The text for a Plotly label, annotation or hover text, which know some HTML, and `%{y}` in a template."""
    return _html(visible(text), quote=False).replace("%{", "%\u2060{")


def button(text: object) -> str:
    """The text for a button in a table's cell, where `:material/x:` is an icon and `[...]` a menu."""
    told = visible(text)
    return f"\u2060{told}" if told.startswith((":", "[")) else told


def spreadsheet(text: object) -> str:
    """The text for a cell of a CSV, where a spreadsheet calculates what begins like a formula. Numbers stay numbers.

    Source: "CSV Injection", https://owasp.org/www-community/attacks/CSV_Injection
    """
    told = str(text)
    return f"'{told}" if _FORMULA.match(told) and not _NUMBER.fullmatch(told) else told


def echarts(text: object) -> str:
    """The text for an ECharts formatter, where `{b}` stands for a name: a word joiner keeps the brace alone."""
    return visible(text).replace("{", "{\u2060")


def echarts_styled(style: str, text: object) -> str:
    """The text for an ECharts formatter in a rich text style, which a closing brace would end: it stands outside.

    Source: "Rich Text", https://echarts.apache.org/handbook/en/how-to/label/rich-text/
    """
    return "}".join(f"{{{style}|{part}}}" if part else "" for part in echarts(text).split("}"))


_SLACK_LOOKALIKES = str.maketrans({"*": "\u2217", "~": "\u223c", "`": "\u02cb"})
_SLACK_MARKS = re.compile(r"(?<![^\W_])_|_(?![^\W_])")
_SLACK_ALIVE = re.compile(r"[:@#](?=\S)|(?<=\w)\.(?=[^\W\d_])|^>")
"""Emoji, mentions, channels, addresses (which Slack finds without a scheme, too), and a quotation."""


_SLACK_FORMATTED = re.compile(r"[*~]|(?<![^\W_])_|_(?![^\W_])|:[\w+'-]+:")
"""Formatting and emoji, which Slack also recognises in a verbatim text."""

_ROOM_TO_COUNT = 60
"""From this limit on, a truncated text says how much is left out."""


def mrkdwn(text: object, limit: int) -> str:
    """The text for a mrkdwn object of Slack with `verbatim`, on one line, no longer than `limit` with its escapes.

    What readers copy is the text itself: words that Slack would format are inline code. Only a backtick becomes a
    character that looks like it. Slack makes no links or mentions of a verbatim text.

    Source: https://docs.slack.dev/messaging/formatting-message-text and
    https://docs.slack.dev/reference/block-kit/composition-objects/text-object
    """
    whole = visible(text).replace("`", "\u02cb")
    if len(rendered := _mrkdwn_words(whole[: limit + 1])) <= limit:
        return rendered or "–"

    def cut(length: int) -> str:
        more = f" ({len(whole) - length:,} more characters)" if limit >= _ROOM_TO_COUNT else ""
        return f"{_mrkdwn_words(whole[:length])}…{more}"

    longest = bisect_right(range(min(len(whole), limit)), limit, key=lambda length: len(cut(length)))
    return next(shown for length in range(longest, -1, -1) if len(shown := cut(length)) <= limit)


def _mrkdwn_words(text: str) -> str:
    return " ".join(
        f"`{_slack_entities(word)}`"
        if _SLACK_FORMATTED.search(word) or (not at and word.startswith(">"))  # a quotation
        else _slack_entities(word)
        for at, word in enumerate(text.split(" "))
    )


def _slack_entities(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def slack_notification(text: object, limit: int) -> str:
    """The text for the notification of a Slack message, no longer than `limit` with its escapes.

    It has no `verbatim`, and nobody copies from it: lookalikes replace formatting, and a word joiner keeps apart what
    would become an emoji, a mention or a link.
    """
    told = _SLACK_MARKS.sub("\u02cd", visible(text)).translate(_SLACK_LOOKALIKES)
    told = _SLACK_ALIVE.sub(lambda found: f"\u2060{found[0]}" if found[0] == ">" else f"{found[0]}\u2060", told)
    parts = [_slack_entities(character) for character in told]
    if sum(map(len, parts)) > limit:
        length = 1
        for count, part in enumerate(parts):
            length += len(part)
            if length > limit:
                parts = [*parts[:count], "…"]
                break
    return "".join(parts) or "–"
