"""Cleaning of captions for LlamaGen, in the steps of its training data (PixArt's and DeepFloyd IF's before it).

The text encoder saw captions of web pictures with their noise taken out; a prompt goes the same way. Two steps differ:
tags are taken out with the standard library's parser, and text that was decoded with a wrong alphabet stays as it is.
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
_FORMS = r"[\u0132\u0133\u0149\u01c4-\u01cc\u01f1-\u01f3\ufb00-\ufb06\u3000\uff01-\uffef]"  # ligatures, other widths
_QUOTES = (
    (r"[\u02bc\u2018-\u201b]", "'"),
    (r"[\u201c-\u201f]", '"'),
    (r"[\x00-\x08\x0b\x0e-\x1f\x7f\u206a-\u206f\ufeff\ufff9-\ufffc]", ""),  # signs that control and show nothing
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


class _Text(HTMLParser):
    """Collects what is not a tag."""

    def __init__(self) -> None:
        super().__init__()
        self.parts: list[str] = []

    def handle_data(self, data: str) -> None:
        """Keep text."""
        self.parts.append(data)


def _apply(rules: tuple[tuple[str, str], ...], text: str) -> str:
    for pattern, replacement in rules:
        text = re.sub(pattern, replacement, text)
    return text


def _clean_once(caption: str) -> str:
    text = _apply(_BEFORE_TAGS, unquote_plus(caption).strip().lower())
    parser = _Text()
    parser.feed(text)
    parser.close()
    text = _apply(_SIGNS, "".join(parser.parts))
    if len(re.findall(r"[-_]", text)) > 3:  # words-joined-like-this
        text = re.sub(r"[-_]", " ", text)
    text = _apply(_QUOTES, re.sub(_FORMS, lambda sign: unicodedata.normalize("NFKC", sign[0]), text))
    text = html.unescape(html.unescape(unicodedata.normalize("NFC", text))).strip()
    return _apply(_WORDS, text).strip()


def clean_caption(caption: str) -> str:
    """The caption as the text encoder shall see it; cleaned twice, as in training."""
    return _clean_once(_clean_once(caption))
