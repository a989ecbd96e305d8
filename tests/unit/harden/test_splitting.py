"""No content is in two parts, and nothing is lost unsaid."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heliotrope.core.errors import InputError
from heliotrope.harden.splitting import split
from heliotrope.subjects.images import ImageDataset


def dataset(values):
    inputs = np.array(values, dtype=np.float32).reshape(-1, 1)
    return ImageDataset(inputs, np.zeros(len(inputs), dtype=np.int64), {})


@settings(max_examples=40, deadline=None)
@given(contents=st.integers(150, 300), judged=st.lists(st.integers(0, 40), max_size=30), seed=st.integers(0, 10**6))
def test_parts_are_disjoint_by_content_and_account_for_every_row(contents, judged, seed):
    train = np.random.default_rng(seed).integers(0, contents, 400).tolist()
    found = split(dataset(train), dataset(judged), share=0.2, seed=seed)
    parts = [{train[row] for row in rows.tolist()} for rows in (found.train, found.validate)]
    assert not parts[0] & parts[1]
    assert not (parts[0] | parts[1]) & set(judged)
    assert len(found.train) + len(found.validate) + found.removed == len(train)
    assert found.removed == sum(value in judged for value in train)
    again = split(dataset(train), dataset(judged), share=0.2, seed=seed)
    assert again.train.tolist() == found.train.tolist()


def test_too_little_is_refused_with_what_is_left():
    with pytest.raises(InputError, match="of 100 training rows 90 are also among the evaluation data"):
        split(dataset(range(100)), dataset(range(90)), share=0.1, seed=0)


def test_rows_of_tables_are_compared_whatever_types_their_columns_have():
    import pandas as pd

    from heliotrope.harden.splitting import _of_inputs

    one = pd.DataFrame({"a": [1, 2], "b": ["x", None], "c": [True, False]})
    two = pd.DataFrame({"a": [1.0, 2.0], "b": pd.Categorical(["x", None]), "c": [1, 0]})
    assert _of_inputs(one) == _of_inputs(two)
    assert len(set(_of_inputs(one))) == 2
