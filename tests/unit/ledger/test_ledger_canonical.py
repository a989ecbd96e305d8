"""The fast encoders write what RFC 8785 asks for."""

import json
import math

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from heliotrope.core.events import Appendage, Event, event_source, event_type
from heliotrope.core.records import Record, canonical_bytes, sha256_hex
from heliotrope.ledger._canonical import canonical
from heliotrope.ledger._chain import DOMAIN, claim, encode, link
from heliotrope.ledger.interface import GENESIS_HASH

NUMBERS = st.integers(-(2**53) + 1, 2**53 - 1) | st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text() | st.text(st.characters(max_codepoint=127)),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=8), inner, max_size=5),
    max_leaves=20,
)
DIGEST = st.text("0123456789abcdef", min_size=64, max_size=64)


@given(st.dictionaries(st.text(max_size=8), JSON, max_size=6))
def test_the_fast_path_writes_the_same_bytes(content):
    assert canonical(content) == rfc8785.dumps(content)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_float(number):
    assert canonical({"x": number}) == rfc8785.dumps({"x": number})


@pytest.mark.parametrize(
    "number",
    [
        0.0,
        -0.0,
        1.0,
        1e-4,
        9.999e-5,
        1e-6,
        1e-7,
        1e15,
        1e16,
        1e17,
        1e20,
        1e21,
        2.0**53,
        2.0**53 - 1,
        5e-324,
        1.5e300,
        0.1,
    ],
)
def test_floats_at_the_limits_of_notation(number):
    for value in (number, -number):
        assert canonical({"x": value}) == rfc8785.dumps({"x": value})


@pytest.mark.parametrize(
    "content",
    [
        {"x": math.nan},
        {"x": math.inf},
        {"x": 2**53},
        {"x": -(2**53)},
        {1: "x"},
        {"x": {True: 1}},
        {"x": "\ud800"},
        {"x": b"y"},
    ],
)
def test_what_is_no_json_is_an_error_on_both_paths(content):
    for encoder in (canonical, canonical_bytes):
        with pytest.raises(ValueError):  # noqa: PT011 - the library's own subclass
            encoder(content)


def test_a_record_is_written_by_its_document():
    class Sample(Record):
        a: float
        b: tuple[int, ...]

    assert canonical(Sample(a=1.0, b=(2, 3))) == b'{"a":1,"b":[2,3]}'


@given(
    sequence=st.integers(1, 2**53 - 1),
    size=st.integers(0, 2**40),
    texts=st.tuples(st.text(), st.text(), st.text(), st.text()),
    keys=st.lists(st.tuples(st.text(max_size=10), st.text(max_size=20)), max_size=5),
    digest=DIGEST,
)
def test_an_event_is_canonical_and_reads_back(sequence, size, texts, keys, digest):
    source, record_id, time, kind = event_source(texts[0]), *texts[1:]
    body = encode(
        source=source,
        sequence=sequence,
        record_id=record_id,
        time=time,
        kind=kind,
        content_id=digest,
        size=size,
        keys=keys,
        previous=digest,
    )
    event = Event.model_validate_json(body)
    assert body == canonical_bytes(event)
    assert event == Event(
        id=record_id,
        source=source,
        type=event_type(kind),
        time=time,
        data=Appendage(sequence=sequence, kind=kind, content_id=digest, size=size, keys=tuple(keys), previous=digest),
    )
    assert claim(body, link(digest, body)) == (sequence, digest)
    assert claim(body + b" ", link(digest, body)) is None


@given(st.binary() | st.text() | st.none() | JSON.map(rfc8785.dumps), st.text() | st.none())
def test_no_bytes_make_a_claim_fail(body, digest):
    assert claim(body, digest) is None


@pytest.mark.parametrize("sequence", ["1", 1.0, True, 2**53, -(2**70)])
def test_a_claim_to_an_impossible_place_is_none(sequence):
    body = canonical_bytes({"data": {"previous": "0" * 64, "sequence": 0}}).replace(
        b'"sequence":0', f'"sequence":{json.dumps(sequence)}'.encode()
    )
    assert claim(body, link("0" * 64, body)) is None


def test_the_genesis_is_the_hash_of_the_domain_separator():
    assert sha256_hex(DOMAIN) == GENESIS_HASH
