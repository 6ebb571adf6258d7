"""Texts that act on what reads them: SQL clients, shells, terminals, encodings, ledgers, spreadsheets.

Each may stand wherever text comes from a system: as a key, a value, the name of a table or column, an error message.
What must hold: it arrives exactly, or it is refused and the reason is stated; nothing else happens. In SQL for people
to run it is never anything but one literal or name, whatever client reads the file in whatever encoding.
"""

from __future__ import annotations

NAME = "victim"
"""The table that the attacks on SQL try to drop."""

_DROP = f"DROP TABLE {NAME};"

SQL: dict[str, str] = {
    "quote": f"'; {_DROP} --",
    "quote twice": f"''; {_DROP} --",
    "double quote": f'"; {_DROP} --',
    "double quote twice": f'""; {_DROP} --',
    "backtick": f"`; {_DROP} --",
    "backtick with a value": f"`=1; {_DROP} -- ",
    "bracket": f"]; {_DROP} --",
    "NUL behind": f"'; {_DROP} --\0",
    "NUL before": f"\0'; {_DROP} --",
    "NUL alone": "\0",
    "NUL and newline": f"\0\n{_DROP}\n",
    "newline": f"\n{_DROP}\n",
    "newline and quote": f"'\n;{_DROP}\n--",
    "lone carriage return": f"\r{_DROP}\r",
    "carriage return and newline": f"\r\n{_DROP}\r\n",
    "form feed": f"\f{_DROP}\f",
    "vertical tab": f"\v{_DROP}\v",
    "NEL": f"\x85{_DROP}\x85",
    "line separator": f"\u2028{_DROP}\u2028",
    "paragraph separator": f"\u2029{_DROP}\u2029",
    "comment": "-- ",
    "comment of C": "/* ",
    "end of a comment": f"*/ {_DROP} /*",
    "comment that MySQL runs": f"/*!50000 {_DROP} */",
    "comment of a hash": f"# \n{_DROP}",
    "backslash": "\\",
    "backslash and quote": f"\\'; {_DROP} --",
    "backslashes and quote": f"\\\\'; {_DROP} --",
    "backslash and backtick": f"\\`; {_DROP} --",
    "backslash and double quote": f'\\"; {_DROP} --',
    "psql shell": "\\! touch PWNED\n\\! touch PWNED",
    "psql shell on its own line": "'\n\\! touch PWNED\n",
    "psql include": "\n\\i /etc/passwd\n",
    "psql copy": "\n\\copy (select 1) to 'PWNED'\n",
    "psql out": "\n\\o PWNED\n",
    "psql gexec": f"'{_DROP}' \\gexec",
    "psql variable": ":USER :'USER' :\"USER\" :{?USER}",
    "psql backtick": "\\echo `touch PWNED`",
    "psql separator": f"\\; {_DROP}",
    "dollar quote": f"$$; {_DROP} $$",
    "dollar quote with a tag": f"$a$; {_DROP} $a$",
    "unicode escape": "U&'\\0027' E'\\x27' \\u0027",
    "mysql system": "\nsystem touch PWNED\n",
    "mysql shell": "\n\\! touch PWNED\n",
    "mysql delimiter": f"\ndelimiter //\n{_DROP}//\n",
    "mysql source": "\nsource /etc/passwd\n",
    "mysql charset": "\ncharset gbk\n",
    "mysql go": f"\\g {_DROP} \\G",
    "mysql tee": "\ntee PWNED\n",
    "sqlite shell": "\n.shell touch PWNED\n",
    "sqlite system after a statement": ";\n.system touch PWNED\n",
    "sqlite output": "\n.output PWNED\n",
    "sqlite import": "\n.import /etc/passwd victim\n",
    "sqlite go": f";\ngo\n/\n{_DROP}\n",
    "end of file": "\x1a\x04",
    "half a GBK character": f"\u00bf\\'; {_DROP} --",
    "trail byte of GBK": f"\u5b57'; {_DROP} --",
    "trail byte of GBK and a backtick": "\u5b57",
    "trail byte of Shift JIS": f"\u8868\\'; {_DROP} --",
    "look-alike quotes": f"\u2019; \uff07 \u02bc; {_DROP} --",
    "percent": "100% %s %(name)s %%",
    "place": "? $1 :name @p1 {0} [_POSITION] __[POSTCOMPILE_x]",
    "copy end": "\\.\n",
}

SHELL: dict[str, str] = {
    "substitution": "$(touch PWNED)",
    "substitution of old": "`touch PWNED`",
    "semicolon": "; touch PWNED;",
    "quote and semicolon": "'; touch PWNED; '",
    "pipe": "| touch PWNED",
    "newline": "\ntouch PWNED\n",
    "history": "!! !$ !touch",
    "variable": "$HOME ${IFS} ~",
    "glob": "* ? [a-z]",
    "option": "--output=PWNED",
    "option of a letter": "-oPWNED",
}

FORMATS: dict[str, str] = {
    "YAML tag": "!!python/object/apply:os.system ['touch PWNED']",
    "YAML anchor": "&a *a <<: *b",
    "YAML mapping": "a: {b: c} # d",
    "YAML document": "\n---\nsystems: {}\n...\n",
    "YAML truth": "yes",
    "YAML null": "~",
    "YAML number": "0x1F",
    "YAML key": "? : - ",
    "YAML flow": "}, ], {, [",
    "environment": "${PATH} ${NOT_SET}",
    "JSON": '"}], "a": "\\u0000"',
    "formula": "=cmd|'/c calc'!A1",
    "Markdown": "![x](http://127.0.0.1:9/x) [Log in](http://127.0.0.1:9) <script>alert(1)</script>",
    "escape sequences": "\x1b]0;title\x07\x1b[2J\x1b[31m\x9b31m",
    "direction": "\u202egnp.exe\u2066",
}

ENCODINGS: dict[str, str] = {
    "half a character": "a\ud800",
    "the other half": "\udfffb",
    "halves in the wrong order": "\udc00\ud800",
    "a byte that is no UTF-8": "a\udcff",
    "noncharacter": "\uffff\ufffe",
    "beyond the first plane": "\U0001f600\U0010ffff",
    "byte order mark": "\ufeffa",
    "byte order mark of the other order": "\ufffea",
    "combining": "e\u0301\u0327",
    "no width": "a\u200b\u200d\u2060b",
    "soft hyphen": "a\u00adb",
    "private use": "\ue000\uf8ff",
    "tags": "\U000e0041\U000e007f",
    "all control characters": "".join(map(chr, range(1, 32))) + "\x7f" + "".join(map(chr, range(0x80, 0xA0))),
    "controls with NUL": "".join(map(chr, range(32))),
    "every printable sign": "".join(map(chr, range(32, 127))),
    "sign of a mark": "\u241b0000 \u2400",
}

HONEST: dict[str, str] = {
    "empty": "",
    "blank": " ",
    "blanks around": "  a  ",
    "word": "Ada",
    "name with an apostrophe": "O'Hara",
    "umlauts": "Müller & Söhne, Größe 3",
    "Chinese": "东京 表 字",
    "Arabic": "مرحبا",
    "lines": "first\nsecond\r\nthird",
    "path of Windows": "C:\\Users\\Ada",
    "NULL": "NULL",
    "capitals": "ADA",
    "accent": "\u00c1da",
    "blank at the end": "Ada ",
    "long": "x" * 5_000,
}

TEXTS: dict[str, str] = {
    f"{kind}: {name}": text
    for kind, texts in (
        ("SQL", SQL),
        ("shell", SHELL),
        ("format", FORMATS),
        ("encoding", ENCODINGS),
        ("honest", HONEST),
    )
    for name, text in texts.items()
}
"""All of them, by their kind and name."""
