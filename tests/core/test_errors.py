"""What an error is told by: the line that says why."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from keras_t2i.core.errors import reason


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ValueError("`epochs` must be at least 1; got 0."), "`epochs` must be at least 1; got 0."),
        (ValueError("\n  first\nsecond"), "first"),
        (RuntimeError("\x1b[1mbold\x1b[0m"), "bold"),
        (KeyboardInterrupt(), "KeyboardInterrupt"),
        (
            ValueError("Exception encountered when calling A.call()."),
            "Exception encountered when calling A.call().",
        ),
    ],
    ids=["one_line", "first_line", "colours", "no_message", "nothing_else"],
)
def test_the_line_that_says_why(error: BaseException, told: str) -> None:
    assert reason(error) == told


def test_of_keras_own_errors_what_went_wrong_and_not_where() -> None:
    class Broken(keras.layers.Layer):
        def call(self, inputs):
            raise ValueError("Images must have three channels; these have four.")

    with pytest.raises(ValueError, match="Exception encountered") as error:
        Broken()(np.zeros((1, 4)))
    assert reason(error.value) == "Images must have three channels; these have four."
