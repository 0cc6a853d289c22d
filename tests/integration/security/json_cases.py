"""JSON texts by the grammar of RFC 8259: those that are JSON, those that are not, and those that it leaves open."""

# ruff: noqa: E501, RUF001 - tables of cases
from __future__ import annotations

_VALUES = {
    "null": b"null", "true": b"true", "false": b"false", "zero": b"0", "minus zero": b"-0", "integer": b"123", "negative": b"-1",
    "fraction": b"0.5", "long fraction": b"3.14159265358979323846264338327950288", "exponent": b"1e5", "capital exponent": b"1E5",
    "plus exponent": b"1e+5", "minus exponent": b"1e-5", "zero exponent": b"0e0", "fraction and exponent": b"1.5e-3",
    "minus zero fraction": b"-0.0", "empty text": b'""', "text": b'"abc"', "two bytes": '"é"'.encode(),
    "three bytes": '"€"'.encode(), "four bytes": '"𝄞"'.encode(), "escaped quote": b'"\\""', "escaped backslash": b'"\\\\"',
    "escaped slash": b'"\\/"', "controls": b'"\\b\\f\\n\\r\\t"', "escaped control": b'"\\u0001"', "escaped null": b'"\\u0000"',
    "escaped pair": b'"\\ud834\\udd1e"', "escape in capitals": b'"\\u00E9"', "delete": b'"\x7f"', "line separator": '"\u2028"'.encode(),
    "byte order mark inside": '"\ufeff"'.encode(), "no character": '"\uffff"'.encode(), "last code point": '"\U0010ffff"'.encode(),
    "slash": b'"/"', "empty array": b"[]", "array": b"[1,2,3]", "arrays": b"[[[[]]]]", "empty object": b"{}", "object": b'{"a":1}',
    "objects": b'{"a":{"b":{"c":{}}}}', "empty key": b'{"":0}', "escaped key": b'{"\\u0061":0}', "repeated key": b'{"a":1,"a":2}',
    "repeated pair": b'{"a":1,"a":1}', "long key": b'{"' + b"k" * 10_000 + b'":0}', "mixed": b'[null,true,false,0,"a",[],{}]',
    "fifty arrays": b"[" * 50 + b"]" * 50, "many members": b"[" + b",".join([b"0"] * 10_000) + b"]",
}  # fmt: skip
_SPACES = {"space": b" ", "tab": b"\t", "line feed": b"\n", "carriage return": b"\r", "all": b" \t\r\n "}

#: Texts that are JSON.
ACCEPTED = {
    **_VALUES,
    **{f"{name} in an array": b"[" + text + b"]" for name, text in _VALUES.items()},
    **{f"{name} in an object": b'{"k":' + text + b"}" for name, text in _VALUES.items() if name != "many members"},
    **{f"{name} around": space + b"[" + space + b"1" + space + b"," + space + b"2" + space + b"]" + space
       for name, space in _SPACES.items()},
    **{f"{name} in an object around": b"{" + space + b'"a"' + space + b":" + space + b"1" + space + b"}"
       for name, space in _SPACES.items()},
}  # fmt: skip

_WRONG = {
    "nothing": b"", "space alone": b" ", "nul": b"\0", "comma": b",", "colon": b":", "star": b"*", "letter": b"a", "quote": b'"',
    "apostrophes": b"'a'", "backtick": b"`a`", "byte order mark alone": b"\xef\xbb\xbf", "byte order mark": b"\xef\xbb\xbf{}",
    "capital null": b"NULL", "capital true": b"True", "short true": b"tru", "short null": b"nul", "long null": b"nullx",
    "undefined": b"undefined", "nan": b"NaN", "minus nan": b"-NaN", "infinity": b"Infinity", "minus infinity": b"-Infinity",
    "inf": b"inf", "plus": b"+1", "double minus": b"--1", "minus": b"-", "plus minus": b"+-1", "leading zero": b"01",
    "leading zeros": b"00", "negative leading zero": b"-01", "point": b".", "no integer": b".5", "negative no integer": b"-.5",
    "no fraction": b"1.", "negative no fraction": b"-1.", "no fraction but exponent": b"1.e5", "no exponent": b"1e",
    "no plus exponent": b"1e+", "no minus exponent": b"1E-", "exponent alone": b"e5", "two points": b"1.2.3", "two exponents": b"1e5e5",
    "fraction in exponent": b"1e5.5", "hexadecimal": b"0x1F", "octal": b"0o7", "binary": b"0b1", "underscore": b"1_000",
    "comma in number": b"1,000", "space in number": b"1 000", "letter in number": b"1a", "minus after": b"1-", "suffix": b"1n",
    "full-width digit": "１".encode(), "arabic digit": "٣".encode(), "open text": b'"abc', "open escape": b'"\\', "open quote": b'"\\"',
    "unknown escape": b'"\\x41"', "escaped apostrophe": b'"\\\'"', "escaped a": b'"\\a"', "escaped zero": b'"\\0"',
    "escaped line feed": b'"\\\n"', "escaped non-ascii": '"\\é"'.encode(), "capital u": b'"\\U0041"', "short u": b'"\\u004"',
    "empty u": b'"\\u"', "no hexadecimal": b'"\\u00zz"', "braced u": b'"\\u{41}"', "raw line feed": b'"\n"',
    "raw return": b'"\r"', "raw tab": b'"\t"', "raw nul": b'"\0"', "raw escape": b'"\x1b"', "raw unit separator": b'"\x1f"',
    "two values": b"1 2", "two texts": b'"a" "b"', "two arrays": b"[][]", "two objects": b"{}{}", "value and comma": b"1,",
    "value and letter": b"1 x", "array and quote": b'[]"', "object and brace": b"{}}", "array and bracket": b"[]]",
    "open array": b"[", "open array value": b"[1", "open array comma": b"[1,", "closing bracket": b"]", "comma first": b"[,1]",
    "comma last": b"[1,]", "comma alone": b"[,]", "two commas": b"[1,,2]", "semicolon": b"[1;2]", "no comma": b"[1 2]",
    "colon in array": b"[1:2]", "crossed": b"[}", "crossed back": b"{]", "crossed nesting": b"[{]}", "dots": b"[...]", "star in array": b"[*]",
    "open object": b"{", "open key": b'{"a', "open pair": b'{"a"', "open colon": b'{"a":', "open value": b'{"a":1', "open next": b'{"a":1,',
    "closing brace": b"}", "no value": b'{"a":}', "no colon": b'{"a" 1}', "no key": b"{:1}", "bare key": b"{a:1}",
    "apostrophe key": b"{'a':1}", "number key": b"{1:1}", "null key": b"{null:1}", "array key": b"{[]:1}", "object comma first": b'{,"a":1}',
    "object comma last": b'{"a":1,}', "object comma alone": b"{,}", "object two commas": b'{"a":1,,"b":2}', "object no comma": b'{"a":1 "b":2}',
    "object semicolon": b'{"a":1;"b":2}', "object equals": b'{"a"=1}', "object arrow": b'{"a"=>1}', "object two colons": b'{"a"::1}',
    "object pair twice": b'{"a":1:2}', "value alone in object": b'{"a"}', "line comment": b"1 // x", "comment": b"/* x */ 1",
    "hash comment": b"1 # x", "comment in array": b"[1/**/]", "vertical tab": b"[\v1]", "form feed": b"[\f1]", "no-break space": "[\u00a01]".encode(),
    "line separator outside": "[\u20281]".encode(), "mark inside": "[\ufeff1]".encode(), "word joiner": "[\u20601]".encode(),
    "nul after": b"1\0", "nul in array": b"[\x001]", "xml": b"<a/>", "html": b"<!doctype html>", "yaml": b"a: 1", "json lines": b"1\n2",
    "jsonp": b"f(1)", "guarded": b")]}',\n1", "regular expression": b"/a/", "template": b"${1}", "percent": b"%41", "utf-16": '"a"'.encode("utf-16"),
    "utf-16 le": '"a"'.encode("utf-16-le"), "utf-32": '"a"'.encode("utf-32"), "latin-1": '"é"'.encode("latin-1"), "binary bytes": bytes(range(256)),
    "stray continuation": b'"\x80"', "cut character": b'"\xe2\x82"', "overlong slash": b'"\xc0\xaf"', "overlong nul": b'"\xc0\x80"',
    "overlong three": b'"\xe0\x80\xaf"', "overlong four": b'"\xf0\x80\x80\xaf"', "surrogate in utf-8": b'"\xed\xa0\x80"',
    "pair in utf-8": b'"\xed\xa0\xb4\xed\xb4\x9e"', "beyond unicode": b'"\xf4\x90\x80\x80"', "five bytes": b'"\xf8\x88\x80\x80\x80"',
    "0xfe": b'"\xfe"', "0xff": b'"\xff"', "0xff in array": b"[\xff]", "0xff in key": b'{"\xff":1}', "deep": b"[" * 100_000,
    "deep objects": b'{"":' * 100_000, "deep and closed": b"[" * 100_000 + b"]" * 100_000,
}  # fmt: skip

#: Texts that are not JSON. Some are so in an array and in an object, too.
REFUSED = {
    **_WRONG,
    **{f"{name} in an array": b"[" + text + b"]" for name, text in _WRONG.items()
       if name not in ("nothing", "space alone", "comma in number", "two values") and b"[" not in text and not text.endswith(b"[")},
    **{f"{name} in an object": b'{"k":' + text + b"}" for name, text in _WRONG.items()
       if name != "nothing" and len(text) < 300 and not text.startswith((b'"', b"{", b"[")) and b":" not in text},
}  # fmt: skip

#: Texts about which RFC 8259 leaves implementations free.
EITHER = {
    "huge exponent": b"1e999", "huge negative exponent": b"-1e999", "tiny": b"1e-999", "huge integer": b"9" * 1000,
    "negative huge integer": b"-" + b"9" * 1000, "very huge integer": b"9" * 100_000, "huge fraction": b"0." + b"9" * 100_000,
    "exponent of many digits": b"1e" + b"0" * 1000 + b"1", "lone high surrogate": b'"\\ud800"', "lone low surrogate": b'"\\udc00"',
    "inverted pair": b'"\\udd1e\\ud834"', "two high surrogates": b'"\\ud800\\ud800"', "surrogate and text": b'"\\ud800abc"',
    "surrogate and escape": b'"\\ud800\\n"', "surrogate in key": b'{"\\ud800":1}', "escaped no character": b'"\\uffff"',
    "five hundred arrays": b"[" * 500 + b"]" * 500, "two thousand arrays": b"[" * 2000 + b"]" * 2000,
    "five hundred objects": b'{"a":' * 500 + b"1" + b"}" * 500, "many keys": b"{" + b",".join(b'"%d":0' % i for i in range(50_000)) + b"}",
    "equal keys": b"{" + b",".join([b'"a":0'] * 50_000) + b"}", "64 bits": b"18446744073709551615", "65 bits": b"18446744073709551616",
}  # fmt: skip
