"""The built-in prompts, and files of prompts."""

import pytest

from spatialspec.io.prompts import BUILT_IN, read_prompts


def test_built_in_prompts():
    assert len(BUILT_IN) >= 64 and len(set(BUILT_IN)) == len(BUILT_IN)
    assert all(prompt == prompt.strip() and ", " in prompt for prompt in BUILT_IN)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.txt", "a red apple\n\n  a cat, 3d  \n"),
        ("a.TXT", "\ufeffa red apple\r\na cat, 3d"),
        ("a.csv", 'id,text\n1,a red apple\n2,"a cat, 3d"\n'),
        ("a.csv", 'caption,prompt\nx,a red apple\ny,"a cat, 3d"\n'),
        ("a.tsv", "caption\tid\na red apple\t1\na cat, 3d\t2\n"),
        ("a.jsonl", '{"prompt": "a red apple"}\n\n{"caption": "a cat, 3d", "id": 2}\n'),
    ],
)
def test_read(tmp_path, name, content):
    path = tmp_path / name
    path.write_text(content, encoding="utf-8", newline="")
    assert read_prompts(path) == ["a red apple", "a cat, 3d"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", b"\n \n", "got no prompt"),
        ("a.txt", b"\xff\xfe\x00", "UTF-8"),
        ("a.csv", b"id,words\n1,cat\n", "got the columns id, words, expected one of prompt, text, caption"),
        ("a.csv", b"", "got the columns none"),
        ("a.csv", b"id,text\n1,\n", "line 2: got an empty prompt"),
        ("a.csv", b"id,text\n1\n", "line 2: got 1 cells for 2 columns"),
        ("a.csv", b"text\n" + b"x" * 200_000, "line 2: got a prompt of 200,000"),
        ("a.tsv", b"id,text\n1,cat\n", "got columns that are separated by commas"),
        ("a.jsonl", b'{"prompt": "cat"}\n{"prompt"', "line 2: got a document that does not parse"),
        ("a.jsonl", b'["cat"]', "line 1.*expected an object"),
        ("a.jsonl", b'{"word": "cat"}', "got the columns word"),
        ("a.jsonl", b'{"prompt": 3}', "line 1: got the prompt 3"),
        ("a.doc", b"cat", "expected a file that ends in .txt, .csv, .tsv, .jsonl"),
    ],
)
def test_refuse(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message) as caught:
        read_prompts(path)
    assert "\n" not in str(caught.value)


def test_no_file(tmp_path):
    with pytest.raises(ValueError, match="got no file"):
        read_prompts(tmp_path / "none.txt")
    with pytest.raises(ValueError, match="got no file"):
        read_prompts(tmp_path)
