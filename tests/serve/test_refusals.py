"""What a server refuses: malformed bodies, wrong keys, unknown paths; in OpenAI's shape, never with a traceback."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from helpers.serving import IMAGES, Serving, serving
from spatialspec.pipeline import SpatialPipeline

KEY = "a key of four words".replace(" ", "-")
TRACES = re.compile(r'Traceback|File "|\.py\b|(?<![\w.~-])/(?:tmp|home|root|usr|work|var)\b|0x[0-9a-f]{6}')
JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def served(pipeline: SpatialPipeline) -> Iterator[Serving]:
    with serving(pipeline, batch=8, queue=1000) as running:
        yield running


@pytest.fixture(scope="module")
def locked(pipeline: SpatialPipeline) -> Iterator[Serving]:
    with serving(pipeline, KEY) as running:
        yield running


def check(answer: httpx.Response, statuses: range | tuple[int, ...] = range(400, 500)) -> dict[str, Any]:
    """The error of an answer."""
    assert answer.status_code in statuses, (answer.status_code, answer.text[:300])
    assert not TRACES.search(answer.text), answer.text[:500]
    error = answer.json()["error"]
    assert {*error} == {"message", "type", "param", "code"} and error["message"] and error["type"]
    return error


def send(served: Serving, body: bytes, **headers: str) -> httpx.Response:
    return served.http.post(IMAGES, content=body, headers={**JSON, **headers})


FIELDS = {
    "prompt": ["", " ", None, 3, ["a cat"], {}, "x" * 10_001, "\0", "a\0b"],
    "model": [3, "other", [], "x" * 5000, "../../etc/passwd", ""],
    "n": [0, 11, -1, 1.5, "1", True, [], 10**30, -(10**400)],
    "size": ["0x0", "1024x1024", 24, [24, 24], "24X24 ", "24x24x24", "auto "],
    "quality": ["", "best", 3, "EXACT", ["low"], "hd"],
    "response_format": ["url", "", 1],
    "output_format": ["gif", "PNG", 3, "../png"],
    "output_compression": [-1, 101, "9", 2.5, True],
    "stream": ["true", 1, "yes", []],
    "partial_images": [-1, 4, "2", 1.5, True, 2],
    "background": ["opaque", "transparent", 1],
    "moderation": ["low", 1],
    "style": ["natural", 1],
    "user": ["me", 1],
    "seed": [-1, 2**63, 1.5, "0", True, 10**400],
    "negative_prompt": [3, ["x"], "x" * 10_001, "\0", {}],
    "guidance_scale": [-1, 101, "2", True, [1.0], 1e400],
    "temperature": [-0.1, 101, "1", True, None.__class__.__name__],
    "top_k": [-1, 1.5, "3", 2**32, True],
    "top_p": [0, 1.1, -1, "1", True],
    "method": ["", "none", 3, "x" * 201, "spatial:", "spatial:budget", "spatial:budget=-1", "spatial:budget=1e9",
               "ar:x=1", "spatial,ar", "hawk:horizontal=99", "spatial-model", "spatial:tolerance=nan",
               "jacobi:length=99999", "\n"],
}  # fmt: skip
CASES = [(field, value) for field, values in FIELDS.items() for value in values]


@pytest.mark.parametrize(("field", "value"), CASES, ids=lambda value: re.sub(r"\W+", "-", str(value)[:20]))
def test_a_bad_value_is_refused_by_name(served: Serving, field: str, value: object) -> None:
    text = json.dumps({"prompt": "a cat", field: value})
    error = check(send(served, text.encode()), (400, 404))
    assert error["param"] == field, error


BODIES = [
    b"", b" ", b"{", b"}", b"null", b"[]", b"3", b'"prompt"', b"{'prompt': 'a'}", b'{"prompt": }', b"\xff\xfe",
    b"\0" * 50, b'{"prompt": "a cat", "temperature": NaN}',
    b'{"prompt": "a cat"', b'{"prompt": "a\xff"}', b'{"prompt": "\\ud800"}', b'{"prompt": "a", "\\ud800": 1}',
    b'{"prompt": "a", "user": "\\udfff"}', b'{"prompt": "a cat", "seed": NaN}',
    b'{"prompt": "a cat", "top_p": Infinity}', b'{"prompt": "a cat", "temperature": -Infinity}',
    b'{"prompt": "a cat", "n": ' + b"9" * 5000 + b"}", b"[" * 100_000, b'{"a":' * 40_000, b'{"prompt": "a", "": 1}',
    b'{"prompt": "a cat", "image": "file:' b'///etc/passwd"}', b'{"prompt": "a cat", "mask": "http://127.0.0.1/"}',
    b'{"prompt": "a cat", "extra_body": {}}', b'{"Prompt": "a cat"}', b'{"n": 1}', b'{"prompt": "a cat", "seeds": [1]}',
    b'--x\r\nContent-Disposition: form-data; name="prompt"\r\n\r\na cat\r\n--x--', b"prompt=a+cat",
]  # fmt: skip


@pytest.mark.parametrize("body", BODIES, ids=lambda body: re.sub(r"\W+", "-", body[:24].decode("latin-1")))
def test_malformed_bodies(served: Serving, body: bytes) -> None:
    check(send(served, body))


@pytest.mark.parametrize(
    "kind", ["text/plain", "", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"]
)
def test_another_content_type_is_refused(served: Serving, kind: str) -> None:
    """A page of another site can send these without asking, but not JSON."""
    answer = served.http.post(IMAGES, content=b'{"prompt": "a cat"}', headers={"Content-Type": kind})
    assert "application/json" in check(answer)["message"]


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
names = st.sampled_from([*FIELDS]) | st.text(max_size=12)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(fields=st.dictionaries(names, values, max_size=4), cut=st.integers(0, 400), garbage=st.binary(max_size=12))
def test_hundreds_of_bodies(served: Serving, fields: dict[str, Any], cut: int, garbage: bytes) -> None:
    """Valid ones are drawn; all others get a 4xx."""
    text = json.dumps(fields).encode()
    for body in (text, text[:cut] + garbage + text[cut + 1 :], garbage):
        answer = send(served, body)
        if answer.status_code == 200:
            assert json.loads(body)["prompt"].strip()
        else:
            check(answer)


def test_bodies_that_are_too_large(served: Serving) -> None:
    """Announced, or in pieces without a length."""
    large = b'{"prompt": "' + b"a" * 300_000 + b'"}'
    assert check(send(served, large), (413,))["code"] == "body_too_large"
    pieces = (large[i : i + 10_000] for i in range(0, len(large), 10_000))
    assert served.http.post(IMAGES, content=pieces, headers=JSON).status_code == 413
    with socket.create_connection(("127.0.0.1", int(served.url.rpartition(":")[2]))) as connection:
        connection.sendall(f"POST {IMAGES} HTTP/1.1\r\nHost: a\r\nContent-Length: 999999999999\r\n\r\n".encode())
        assert connection.recv(100).startswith(b"HTTP/1.1 413 "), "refused before it is sent"


def test_an_unforeseen_error(served: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(body: object) -> None:
        raise RuntimeError(f"{__file__} is broken")

    monkeypatch.setattr(served.server.reader, "job", fails)
    alone = httpx.post(served.url + IMAGES, json={"prompt": "a cat"}, trust_env=False)  # its connection is closed
    assert check(alone, (500,))["type"] == "server_error"


def test_paths_and_verbs(served: Serving) -> None:
    for path in ("/none", "/v1", "/v1/images", "/docs", "/redoc", "/page.css/", "/../etc/passwd",
                 "/v1/images/jobs/x/events", "/%2e%2e/%2e%2e/etc/passwd", "/v1/models/../../x", "/page.py",
                 "/generate"):  # fmt: skip
        check(served.http.get(path), (404,))
    for verb, path in (("GET", IMAGES), ("PUT", IMAGES), ("POST", "/"), ("DELETE", "/v1/models"), ("PATCH", "/health")):
        answer = served.http.request(verb, path)
        assert check(answer, (405,))["code"] == "method_not_allowed" and answer.headers["Allow"]


def test_nonsense_on_the_wire(served: Serving) -> None:
    """The server lives on."""
    for nonsense in (b"\0" * 100, b"GET\r\n\r\n", b"POST / HTTP/9.9\r\n\r\n", b"A" * 100_000, b"\x16\x03\x01\x02\x00"):
        with socket.create_connection(("127.0.0.1", int(served.url.rpartition(":")[2]))) as connection:
            connection.sendall(nonsense)
    assert served.http.get("/health").json() == {"status": "ok"} and served.post().status_code == 200


@pytest.mark.parametrize(
    "header",
    [None, "", "Bearer", "Bearer wrong", f"Bearer {KEY}x", f"Bearer {KEY[:-1]}", KEY, f"Basic {KEY}",
     f"Bearer {KEY}, x", f"Bearer {'k' * 30_000}", "Bearer \xe9\xff", f"bearer{KEY}", f"Bearer {KEY.upper()}"],
    ids=lambda text: re.sub(r"\W+", "-", str(text)[:20]),
)  # fmt: skip
def test_wrong_keys(locked: Serving, header: str | None) -> None:
    headers = {} if header is None else {"Authorization": header.encode("latin-1")}
    for verb, path in (
        ("POST", IMAGES), ("GET", "/v1/models"), ("GET", "/metrics"), ("GET", "/openapi.json"),
        ("DELETE", "/v1/images/jobs/x"), ("GET", "/v1/images/jobs/x/events"), ("GET", "/none"),
    ):  # fmt: skip
        answer = locked.http.request(verb, path, headers=headers, content=b"[" * 9)
        assert check(answer, (401,))["code"] == "invalid_api_key"
        assert answer.headers["WWW-Authenticate"] == "Bearer" and KEY not in answer.text


def test_the_right_key(locked: Serving) -> None:
    headers = {"Authorization": f"Bearer {KEY}"}
    answer = locked.http.post(IMAGES, json={"prompt": "a cat"}, headers=headers)
    assert answer.status_code == 200
    for path in ("/v1/models", "/metrics", "/openapi.json"):
        assert locked.http.get(path, headers=headers).status_code == 200
    for path in ("/", "/page.js", "/page.css", "/health", "/ready"):
        assert locked.http.get(path).status_code == 200, "the page asks for the key; health needs none"


def test_headers_of_safety(locked: Serving) -> None:
    for path in ("/", "/page.js", "/none", "/health"):
        headers = locked.http.get(path).headers
        assert headers["X-Content-Type-Options"] == "nosniff" and headers["Referrer-Policy"] == "no-referrer"
        assert "default-src 'none'" in headers["Content-Security-Policy"] and "Server" not in headers
        assert not any(name.lower().startswith("access-control") for name in headers), "no other site may read answers"
