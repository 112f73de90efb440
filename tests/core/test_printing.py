"""The text of tensors, as PyTorch 2.13 prints them; tests/parity compares with it directly."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from numpy.typing import NDArray

import backlit
from backlit.core import printing
from backlit.core.printing import PrintOptions, format_array, tensor_repr
from backlit.errors import ArgumentError


@pytest.fixture(autouse=True)
def default_options() -> Iterator[None]:
    """Every test starts from, and leaves behind, the default options."""
    printing.set_printoptions(profile="default")
    yield
    printing.set_printoptions(profile="default")


def show(array: Any, dtype: Any = np.float32, **keywords: Any) -> str:
    values: NDArray[Any] = np.asarray(array, dtype)
    return tensor_repr(
        values,
        dtype_name=f"torch.{values.dtype.name}",
        default_float_dtype_name="torch.float32",
        **keywords,
    )


SCALARS_AND_ROWS = [
    (2.5, "tensor(2.5000)"),
    (3.0, "tensor(3.)"),
    (-0.0, "tensor(-0.)"),
    (float("nan"), "tensor(nan)"),
    (float("-inf"), "tensor(-inf)"),
    ([], "tensor([])"),
    ([1.0, 2.0], "tensor([1., 2.])"),
    ([1.0, 2.5], "tensor([1.0000, 2.5000])"),
    ([0.1], "tensor([0.1000])"),
    ([-1.0, 10.0], "tensor([-1., 10.])"),
    ([1.5, float("nan"), float("-inf")], "tensor([1.5000,    nan,   -inf])"),
    ([1.0, float("nan"), float("inf")], "tensor([1., nan, inf])"),
    ([0.0, 0.0], "tensor([0., 0.])"),
    # The limits of fixed point: 10⁸, 10⁻⁴, ratio 1000; float32 rounds 0.0001 down and 0.001 up.
    ([1e8], "tensor([100000000.])"),
    ([1e8 + 8], "tensor([1.0000e+08])"),
    ([1e-4, 0.01], "tensor([1.0000e-04, 1.0000e-02])"),
    ([0.001, 1.0], "tensor([0.0010, 1.0000])"),
    ([0.002, 1.5], "tensor([0.0020, 1.5000])"),
    ([1.0, 2000.0], "tensor([1.0000e+00, 2.0000e+03])"),
    ([1e-9, 0.0, float("inf")], "tensor([1.0000e-09, 0.0000e+00,        inf])"),
]


@pytest.mark.parametrize("array, expected", SCALARS_AND_ROWS)
def test_one_format_is_chosen_by_the_finite_nonzero_values(array: Any, expected: str) -> None:
    """Whole, fixed point or scientific: one choice and one width for all elements."""
    assert show(array) == expected


def test_quotient_that_overflows_is_scientific() -> None:
    """The largest over the smallest double is infinite: no warning, scientific notation."""
    text = show([1.7e308, 5e-324], np.float64)
    assert text == "tensor([1.7000e+308, 4.9407e-324], dtype=torch.float64)"


@pytest.mark.parametrize(
    "array, dtype, expected",
    [
        ([True, False], np.bool_, "tensor([ True, False])"),
        (True, np.bool_, "tensor(True)"),
        ([1, -20, 300], np.int64, "tensor([  1, -20, 300])"),
        ([1, 2], np.int32, "tensor([1, 2], dtype=torch.int32)"),
        (1, np.uint8, "tensor(1, dtype=torch.uint8)"),
        ([1.5, 2], np.float16, "tensor([1.5000, 2.0000], dtype=torch.float16)"),
        ([1.1, 2], ml_dtypes.bfloat16, "tensor([1.1016, 2.0000], dtype=torch.bfloat16)"),
        ([1.1], np.float64, "tensor([1.1000], dtype=torch.float64)"),
    ],
)
def test_dtype_is_named_unless_the_digits_tell(array: Any, dtype: Any, expected: str) -> None:
    """The default float dtype, int64 and bool go without saying; every other dtype is named."""
    assert show(array, dtype) == expected


@pytest.mark.parametrize(
    "shape, dtype, expected",
    [
        ((0,), np.float32, "tensor([])"),
        ((0, 3), np.float32, "tensor([], size=(0, 3))"),
        ((0,), np.int64, "tensor([], dtype=torch.int64)"),
        ((2, 0), np.bool_, "tensor([], size=(2, 0), dtype=torch.bool)"),
    ],
)
def test_empty_tensor_names_shape_and_dtype(shape: Any, dtype: Any, expected: str) -> None:
    """Without elements nothing tells the dtype, nor any shape but (0,)."""
    assert show(np.zeros(shape), dtype) == expected


def test_matrix_rows_are_aligned() -> None:
    """Rows stand under each other, columns share one width."""
    expected = """\
tensor([[ 1.0000,  2.0000],
        [-3.5000,  4.0000]])"""
    assert show([[1.0, 2.0], [-3.5, 4.0]]) == expected


def test_blank_lines_separate_outer_dimensions() -> None:
    """Dimension d from the right is separated by d - 1 line breaks."""
    expected = """\
tensor([[[[ 0,  1],
          [ 2,  3]],

         [[ 4,  5],
          [ 6,  7]]],


        [[[ 8,  9],
          [10, 11]],

         [[12, 13],
          [14, 15]]]])"""
    assert show(np.arange(16).reshape(2, 2, 2, 2), np.int64) == expected


def test_long_row_is_broken_at_the_line_width() -> None:
    """A row takes as many elements per line as fit into 80 characters."""
    expected = """\
tensor([ 0.,  1.,  2.,  3.,  4.,  5.,  6.,  7.,  8.,  9., 10., 11., 12., 13.,
        14., 15., 16., 17., 18., 19., 20., 21., 22., 23., 24., 25., 26., 27.,
        28., 29.])"""
    assert show(np.arange(30)) == expected


def test_narrow_line_width_breaks_each_row() -> None:
    """`linewidth` counts from the left margin, the indentation included."""
    expected = """\
tensor([[ 0.,  1.,  2.,  3.,
          4.,  5.,  6.,  7.,
          8.,  9.],
        [10., 11., 12., 13.,
         14., 15., 16., 17.,
         18., 19.]])"""
    options = PrintOptions(linewidth=30)
    assert show(np.arange(20).reshape(2, 10), options=options) == expected


def test_more_than_threshold_elements_are_summarised() -> None:
    """Three items at either end of each dimension; a short dimension is shown whole."""
    assert show(np.arange(1000), np.int64).count("\n") > 10
    row = "[   0.,    1.,    2.,  ...,  998.,  999., 1000.]"
    assert show(np.arange(1001)) == f"tensor({row})"
    assert show(np.arange(1001).reshape(1, 1001)) == f"tensor([{row}])"


def test_summary_omits_whole_blocks_and_breaks_long_rows() -> None:
    """An ellipsis stands on its own line for rows left out, among the elements of a row."""
    expected = """\
tensor([[0.0000e+00, 1.0000e+00, 2.0000e+00,  ..., 9.7000e+01, 9.8000e+01,
         9.9000e+01],
        [1.0000e+02, 1.0100e+02, 1.0200e+02,  ..., 1.9700e+02, 1.9800e+02,
         1.9900e+02],
        [2.0000e+02, 2.0100e+02, 2.0200e+02,  ..., 2.9700e+02, 2.9800e+02,
         2.9900e+02],
        ...,
        [9.7000e+03, 9.7010e+03, 9.7020e+03,  ..., 9.7970e+03, 9.7980e+03,
         9.7990e+03],
        [9.8000e+03, 9.8010e+03, 9.8020e+03,  ..., 9.8970e+03, 9.8980e+03,
         9.8990e+03],
        [9.9000e+03, 9.9010e+03, 9.9020e+03,  ..., 9.9970e+03, 9.9980e+03,
         9.9990e+03]])"""
    assert show(np.arange(10000).reshape(100, 100)) == expected


def test_format_of_a_summary_depends_on_shown_elements_only() -> None:
    """A huge element that is left out does not widen the columns."""
    values = np.ones(2000)
    values[1000] = 1e20
    assert show(values) == "tensor([1., 1., 1.,  ..., 1., 1., 1.])"


def test_zero_edgeitems_shows_only_the_size() -> None:
    """Without edge items a summary is an ellipsis, and the size is named."""
    options = PrintOptions(edgeitems=0, threshold=3)
    assert show(np.arange(8), np.int64, options=options) == "tensor([...], size=(8,))"
    assert show(np.ones((2, 4)), options=options) == "tensor([...], size=(2, 4))"
    assert show([1, 2], np.int64, options=options) == "tensor([1, 2], size=(2,))"


def test_gradient_suffixes() -> None:
    """A leaf says requires_grad, a result names the function that made it."""
    assert show([1.5], requires_grad=True) == "tensor([1.5000], requires_grad=True)"
    result = show([2.5], requires_grad=True, grad_fn_name="AddBackward0")
    assert result == "tensor([2.5000], grad_fn=<AddBackward0>)"


def test_suffix_that_does_not_fit_starts_a_line() -> None:
    """Suffixes move to the next line, under the bracket, where the line would exceed 80."""
    expected = """\
tensor([1.5000, 1.5000, 1.5000, 1.5000, 1.5000, 1.5000, 1.5000],
       dtype=torch.float64, requires_grad=True)"""
    assert show(np.full(7, 1.5), np.float64, requires_grad=True) == expected
    expected = """\
tensor([2.5000, 2.5000, 2.5000, 2.5000, 2.5000], dtype=torch.float16,
       grad_fn=<AddBackward0>)"""
    assert show(np.full(5, 2.5), np.float16, grad_fn_name="AddBackward0") == expected


def test_type_name_sets_the_indentation() -> None:
    """A subclass prints under its own name, its rows indented to match."""
    text = show([[1.0], [2.0]], type_name="Image")
    assert text == "Image([[1.],\n       [2.]])"


def test_sci_mode_overrides_the_rule() -> None:
    """Forced notation applies to every tensor that has a telling value."""
    assert show([1.0, 2.5], options=PrintOptions(sci_mode=True)) == (
        "tensor([1.0000e+00, 2.5000e+00])"
    )
    assert show([0.0], options=PrintOptions(sci_mode=True)) == "tensor([0.])"
    assert show([1e-9, 2.5], options=PrintOptions(sci_mode=False)) == "tensor([0.0000, 2.5000])"


def test_profiles_and_single_options() -> None:
    """A profile comes first, single options override it, sci_mode goes back to automatic."""
    printing.set_printoptions(profile="short", linewidth=60, sci_mode=True)
    assert printing.get_printoptions() == {
        "precision": 2,
        "threshold": 1000,
        "edgeitems": 2,
        "linewidth": 60,
        "sci_mode": True,
    }
    printing.set_printoptions(threshold=5)
    assert printing.current_options() == PrintOptions(2, 5, 2, 60, None)
    assert show(np.arange(6)) == "tensor([0., 1.,  ..., 4., 5.])"
    printing.set_printoptions(profile="full")
    assert "..." not in show(np.zeros(3000))


def test_options_survive_a_round_trip() -> None:
    """What get_printoptions returns, set_printoptions restores."""
    printing.set_printoptions(precision=7, edgeitems=1, sci_mode=False)
    before = printing.get_printoptions()
    printing.set_printoptions(profile="default")
    printing.set_printoptions(**before)
    assert printing.get_printoptions() == before


def test_printoptions_restores_after_an_error() -> None:
    """The `with` block gives the options back however it ends."""

    def print_and_fail() -> None:
        with printing.printoptions(precision=1):
            assert format_array(np.array([0.25])) == "[0.2]"
            raise KeyError

    with pytest.raises(KeyError):
        print_and_fail()
    assert printing.current_options() == PrintOptions()


@pytest.mark.parametrize(
    "options, message",
    [
        (
            {"profile": "long"},
            "set_printoptions: profile is 'long'; it must be one of 'default', 'short', 'full'.",
        ),
        ({"precision": -1}, "set_printoptions: precision is -1; it must be 0 or more."),
        ({"linewidth": -80}, "set_printoptions: linewidth is -80; it must be 0 or more."),
    ],
)
def test_impossible_options_change_nothing(options: dict[str, Any], message: str) -> None:
    """A refused call says what is allowed and leaves every option as it was."""
    with pytest.raises(ArgumentError) as error:
        printing.set_printoptions(edgeitems=1, **options)
    assert str(error.value) == message
    assert printing.current_options() == PrintOptions()


def test_grad_fn_is_named_after_the_function_that_was_called() -> None:
    """Neither a namespace nor what the function consists of shows, also after the values are known;
    nor does a module that is called like an op."""

    class Norm(backlit.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm = backlit.nn.GELU()

        def forward(self, x: backlit.Tensor) -> backlit.Tensor:
            y: backlit.Tensor = self.norm(x)
            return y

    x = backlit.ones(1, requires_grad=True)
    for y in (backlit.nn.functional.gelu(x), Norm()(x)):
        assert repr(y) == "tensor([0.8413], grad_fn=<GeluBackward0>)"
        assert repr(y) == "tensor([0.8413], grad_fn=<GeluBackward0>)"
    assert repr(backlit.linalg.norm(x)) == "tensor(1., grad_fn=<NormBackward0>)"
