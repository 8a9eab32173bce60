"""Cleaning of captions for LlamaGen, in the steps of its training data (PixArt's and DeepFloyd IF's before it).

The text encoder saw captions of web images that were cleaned; a prompt is cleaned in the same way. Two steps differ:
tags are taken out with the standard library's parser, and text that was decoded as another encoding ("\u00c3\u00a9") is
not repaired. The rest of what ftfy's `fix_text` does is in `plain`.
"""

from __future__ import annotations

import html
import re
import unicodedata
from html.parser import HTMLParser
from urllib.parse import unquote_plus

_ENDINGS = r"(?:png|jpg|jpeg|bmp|webp|eps|pdf|apk|mp4)"
_DOMAIN = r"[a-z0-9.\-]+[.](?:com|co|ru|net|org|edu|gov|it)[\w/-]*\b/?(?!@)"

_BEFORE_TAGS = (
    (r"<person>", "person"),
    (rf"\b(?:https?:(?:/{{1,3}}|[a-z0-9%])|{_DOMAIN})", ""),  # addresses
    (rf"\b(?:www:(?:/{{1,3}}|[a-z0-9%])|{_DOMAIN})", ""),
)
_SIGNS = (
    (r"@\w+\b", ""),  # names of accounts
    (r"[\u31c0-\u31ff\u3200-\u4dbf\u4dc0-\u4dff\u4e00-\u9fff]+", ""),  # Chinese, Japanese and Korean signs
    (
        r"[\-\u058a\u05be\u1400\u1806\u2010-\u2015\u2e17\u2e1a\u2e3a\u2e3b\u2e40\u301c\u3030\u30a0\ufe31\ufe32\ufe58"
        r"\ufe63\uff0d]+",
        "-",
    ),
    (r"[`\u00b4\u00ab\u00bb\u201c\u201d\u00a8]", '"'),
    (r"[\u2018\u2019]", "'"),
    (r"&quot;?|&amp", ""),
    (r"\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}", " "),  # network addresses
    (r"\d:\d\d\s+$", ""),
    (r"\\n", " "),
    (r"#\d{1,3}\b", ""),
    (r"#\d{5,}\b", ""),
    (r"\b\d{6,}\b", ""),
    (rf"\S+\.{_ENDINGS}", ""),  # names of files
    (r"[\"']{2,}", '"'),
    (r"\.{2,}", " "),
    (r"[#\u00ae\u2022\u00a9\u2122&@\u00b7\u00ba\u00bd\u00be\u00bf\u00a1\u00a7~()\[\]{}|\\/*]+", " "),
    (r"\s+\.\s+", " "),
)
_WORDS = (
    (r"\b[a-z]{1,3}\d{3,15}\b", ""),  # numbers of articles
    (r"\b[a-z]+\d+[a-z]+\b", ""),
    (r"\b\d+[a-z]+\d+\b", ""),
    (r"(?:worldwide\s+)?(?:free\s+)?shipping", ""),
    (r"(?:free\s)?download(?:\sfree)?", ""),
    (r"\bclick\b\s(?:for|on)\s\w+", ""),
    (rf"\b{_ENDINGS}(?:\simages?)?", ""),
    (r"\bpage\s+\d+\b", ""),
    (r"\b\d*[a-z]+\d+[a-z]+\d+[a-z\d]*\b", " "),
    (r"\b\d+\.?\d*[x\u0445\u00d7]\d+\.?\d*\b", ""),  # sizes
    (r"\b\s+:\s+", ": "),
    (r"(\D[,./])\b", r"\1 "),
    (r"\s+", " "),
    (r"^[\"'](.+)[\"']$", r"\1"),
    (r"^['_,\-:;]", ""),
    (r"['_,\-:+]$", ""),
    (r"^\.\S+$", ""),
)


_LIGATURES = (*range(0xFB00, 0xFB07), 0x132, 0x133, 0x149, *range(0x1C4, 0x1CD), 0x1F1, 0x1F2, 0x1F3)
_CONTROL = (
    *range(0x9), 0xB, *range(0xE, 0x20), 0x7F, *range(0x206A, 0x2070), 0xFEFF, *range(0xFFF9, 0xFFFD)
)  # fmt: skip
_PLAIN: dict[int, str] = {
    **{code: bytes([code]).decode("cp1252", "replace").replace("\ufffd", chr(code)) for code in range(0x80, 0xA0)},
    **{code: unicodedata.normalize("NFKC", chr(code)) for code in range(0xFF01, 0xFFF0)},  # full and half width
    **{code: "".join(chr(int(c, 16)) for c in unicodedata.decomposition(chr(code)).split()[1:]) for code in _LIGATURES},
    **dict.fromkeys((0x02BC, *range(0x2018, 0x201C)), "'"),
    **dict.fromkeys(range(0x201C, 0x2020), '"'),
    **dict.fromkeys((0xD, 0x2028, 0x2029), "\n"),
    **dict.fromkeys(_CONTROL, ""),
    0x3000: " ",
}


def plain(text: str) -> str:
    r"""Ligatures in letters, letters of full width in narrow ones, straight quotes; no control characters; NFC.

    Example: "\ufb01ne \uff21rt\a" -> "fine Art".
    """
    text = re.sub(r"\x1b\[[\d;]*[a-zA-Z]", "", text).replace("\r\n", "\n")  # what colours a terminal
    return unicodedata.normalize("NFC", text.translate(_PLAIN).translate(_PLAIN))


class _Text(HTMLParser):
    """Collects what is not a tag."""

    def __init__(self) -> None:
        super().__init__()
        self.parts: list[str] = []

    def handle_data(self, data: str) -> None:
        """Keep text."""
        self.parts.append(data)


def _without_tags(text: str) -> str:
    parser = _Text()
    try:
        parser.feed(text)
        parser.close()
    except AssertionError:  # of some Python versions, for a declaration that is none, such as "<![="
        return text
    return "".join(parser.parts)


def _apply(rules: tuple[tuple[str, str], ...], text: str) -> str:
    for pattern, replacement in rules:
        text = re.sub(pattern, replacement, text)
    return text


def _clean_once(caption: str) -> str:
    text = _apply(_BEFORE_TAGS, unquote_plus(caption).strip().lower())
    text = _apply(_SIGNS, _without_tags(text))
    if len(re.findall(r"[-_]", text)) > 3:  # words-joined-like-this
        text = re.sub(r"[-_]", " ", text)
    text = html.unescape(html.unescape(plain(text))).strip()
    return _apply(_WORDS, text).strip()


def clean_caption(caption: str) -> str:
    """The caption as the text encoder shall see it; cleaned twice, as in training."""
    return _clean_once(_clean_once(caption))
