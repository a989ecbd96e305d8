"""A UBJSON document is whole or refused; nothing else comes of any bytes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliotrope.core.errors import InputError
from heliotrope.subjects._ubjson import require_whole_ubjson

WHOLE = (
    b"{}",
    b"{U\x01aT}",
    b"{L\0\0\0\0\0\0\0\x01a[$d#L\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0\0}",
    b"{U\x01a[#U\x02{}[Z]U\x01bSU\x03xyz}",
    b"{U\x01a[$i#U\0U\x01b[]U\x01c[#U\0}",
)


@pytest.mark.parametrize("data", WHOLE)
def test_whole_documents_pass_and_every_part_of_them_is_refused(data):
    require_whole_ubjson(data, "m.ubj")
    for cut in range(len(data)):
        with pytest.raises(InputError, match=r"m\.ubj is truncated"):
            require_whole_ubjson(data[:cut], "m.ubj")


@pytest.mark.parametrize(
    "data",
    [
        b"{}x",
        b"{U\x01a[$d#L\x7f\xff\xff\xff\xff\xff\xff\xff}",
        b"{U\x01a[#l\x80\0\0\0}",
        b"{U\x01a" * 100,
        b"{U\x01aQ}",
    ],
)
def test_what_promises_more_than_there_is_is_refused(data):
    with pytest.raises(InputError) as caught:
        require_whole_ubjson(data, "m.ubj")
    assert caught.value.hint


@given(st.binary(max_size=64))
def test_any_bytes_are_whole_or_refused(tail):
    try:
        require_whole_ubjson(b"{" + tail, "m.ubj")
    except InputError:
        return
    assert tail.endswith(b"}")
