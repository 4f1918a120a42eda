"""What is known of how each operation of ATen rounds? Lists of names, with the ULPs of what is no sum."""

from __future__ import annotations

from enum import Enum

import numpy as np

from isograd.arithmetic import sizes
from isograd.arithmetic.words import erf


class Kind(Enum):
    """How an operation's result is moved."""

    EXACT = "not at all: a view, a choice, a copy"
    RANDOM = "not at all: it draws numbers"
    FUNCTION = "by ULPs of each element"
    PRODUCT = "by √n u |A| |B|"
    SUM = "by √n u Σ|terms|"
    SPREAD = "a variance, by √n u of what it cancels"
    WHOLE = "as the operations that it stands for"
    EACH = "as the same operation of each tensor of a list"
    UPDATE = "as the optimizer's own loop"
    UNKNOWN = "by many ULPs of each element"


def names(text: str) -> frozenset[str]:
    """The words of a text."""
    return frozenset(text.split())


CORRECT = names(
    """
    add sub rsub mul div reciprocal square true_divide addr ger outer hypot deg2rad rad2deg fma
    """
)
"""Rounded once, as IEEE 754 says."""

# ULPs of float32's result against float64's, of a million uniform arguments and of a million whose logarithm is: the
# worst of PyTorch 2.13.0, PaddlePaddle 3.3.1 and NumPy 2.4.6 on the CPU, rounded up; those of `sizes` are taken there.
ULPS: dict[str, float] = {
    "exp": sizes.ACCURACY[np.exp],
    "log": sizes.ACCURACY[np.log],
    "tanh": sizes.ACCURACY[np.tanh],
    "sqrt": sizes.ACCURACY[np.sqrt],
    "log1p": sizes.ACCURACY[np.log1p],
    "expm1": sizes.ACCURACY[np.expm1],
    "sin": sizes.ACCURACY[np.sin],
    "cos": sizes.ACCURACY[np.cos],
    "erf": sizes.ACCURACY[erf],
    "sigmoid": 3.3,  # docs/judging.md: 3.24, NumPy's
    "rsqrt": 2.6,  # 2.50, PaddlePaddle's
    "pow": 1.5,  # 1.47, PyTorch's of exponent −2; PaddlePaddle's is 1.14, NumPy's 1.01
    "tan": 1.6,
    "sinh": 1.8,
    "cosh": 2.5,
    "asin": 3.1,
    "acos": 2.1,
    "atan": 2.1,
    "asinh": 1.6,
    "acosh": 1.8,
    "atanh": 1.7,
    "exp2": 1.1,
    "log2": 2.0,
    "log10": 3.1,
    "lgamma": 2.3,
    "erfc": 0.8,  # PyTorch's alone; so are those below
    "atan2": 0.9,
    "logaddexp": 2.3,
}

UNKNOWN = 16.0
"""ULPs of each element of a result of which nothing is known: twice the worst elementary function's."""

# n of √n where the shapes do not say it: factors of a product, steps of an interpolation and of a few others.
PRODUCTS = names(
    """
    mm bmm addmm baddbmm addbmm mv addmv dot vdot convolution convolution_overrideable convolution_backward _trilinear
    linear matmul mkldnn_convolution
    """
)
POOLS = names(
    """
    avg_pool1d avg_pool2d avg_pool3d avg_pool2d_backward avg_pool3d_backward col2im im2col_backward
    """
)
SCATTERED = names("scatter_add scatter_reduce index_add index_put _index_put_impl _unsafe_index_put")
SHARED = names(
    """
    avg_pool2d_backward avg_pool3d_backward _adaptive_avg_pool2d_backward _adaptive_avg_pool3d_backward
    """
)
"""Sums of gradients' shares: a share, one over a number, is a constant that some libraries hold in float32."""

NORMS = names("linalg_vector_norm norm")
NORMS_EPSILON = 1e-12
"""What some libraries add to a norm before they divide its gradient by it: PaddlePaddle's p_norm does."""

UPSAMPLED = names(
    """
    upsample_linear1d_backward upsample_bilinear2d_backward upsample_trilinear3d_backward upsample_bicubic2d_backward
    upsample_linear1d upsample_bilinear2d upsample_trilinear3d upsample_bicubic2d
    """
)
SUMS = (
    POOLS
    | SCATTERED
    | UPSAMPLED
    | names(
        """
    sum nansum mean cumsum trace linalg_vector_norm norm prod cumprod logcumsumexp embedding_dense_backward
    _embedding_bag _embedding_bag_dense_backward _adaptive_avg_pool2d _adaptive_avg_pool3d unfold_backward
    _adaptive_avg_pool2d_backward _adaptive_avg_pool3d_backward segment_reduce reflection_pad1d_backward
    reflection_pad2d_backward reflection_pad3d_backward replication_pad1d_backward replication_pad2d_backward
    replication_pad3d_backward upsample_nearest1d_backward upsample_nearest2d_backward upsample_nearest3d_backward
    _upsample_nearest_exact1d_backward _upsample_nearest_exact2d_backward _upsample_nearest_exact3d_backward
    max_pool2d_with_indices_backward max_pool3d_with_indices_backward adaptive_max_pool2d_backward
    adaptive_max_pool3d_backward fractional_max_pool2d_backward fractional_max_pool3d_backward _cdist_forward
    _pdist_forward
    """
    )
)
SPREADS = names("var std var_mean std_mean")

EXACT = names(
    """
    clone copy _to_copy contiguous zeros zeros_like ones ones_like full full_like new_full new_ones new_zeros fill zero
    empty empty_like empty_strided new_empty new_empty_strided scalar_tensor lift lift_fresh lift_fresh_copy arange eye
    set resize neg abs sign sgn positive relu threshold threshold_backward hardtanh hardtanh_backward relu6 clamp
    clamp_min clamp_max clip maximum minimum fmax fmin max min amax amin aminmax cummax cummin _cummax_helper
    _cummin_helper sort topk kthvalue median nanmedian mode argsort unique _unique2 where gather embedding index
    _unsafe_index index_select index_fill index_copy take put masked_fill masked_select masked_scatter
    _unsafe_masked_index scatter select_scatter slice_scatter diagonal_scatter as_strided_scatter cat stack hstack
    vstack repeat repeat_interleave tile roll flip rot90 tril triu diag diag_embed block_diag constant_pad_nd pad
    reflection_pad1d reflection_pad2d reflection_pad3d replication_pad1d replication_pad2d replication_pad3d im2col
    unfold pixel_shuffle pixel_unshuffle channel_shuffle _unsafe_view unsafe_split unsafe_split_with_sizes unsafe_chunk
    _reshape_alias _reshape_copy split_with_sizes slice_backward select_backward diagonal_backward
    value_selecting_reduction_backward max_pool2d_with_indices max_pool3d_with_indices adaptive_max_pool2d
    adaptive_max_pool3d fractional_max_pool2d fractional_max_pool3d max_unpool2d max_unpool3d upsample_nearest1d
    upsample_nearest2d upsample_nearest3d _upsample_nearest_exact1d _upsample_nearest_exact2d _upsample_nearest_exact3d
    floor ceil round trunc frac fmod copysign signbit heaviside nan_to_num ldexp nextafter frexp hardshrink
    hardshrink_backward softshrink_backward gt ge lt le eq ne isnan isinf isfinite isclose equal all any logical_and
    logical_or logical_not logical_xor _local_scalar_dense item argmax argmin nonzero bucketize searchsorted one_hot
    count_nonzero real imag view_as_real view_as_complex complex broadcast_in_dim convert_element_type device_put
    squeeze unsqueeze transpose t swapaxes as_strided bitwise_and bitwise_or bitwise_not bitwise_xor detach
    _pack_padded_sequence _pack_padded_sequence_backward _pad_packed_sequence _nested_tensor_from_mask alias
    rrelu_with_noise_backward _conj conj_physical _efficientzerotensor
    """
)
ROUNDED_AT_WILL = names("_prelu_kernel _prelu_kernel_backward leaky_relu leaky_relu_backward masked_scale")
"""Rounded once where they are not exact."""

WHOLE = names(
    """
    native_layer_norm native_layer_norm_backward native_batch_norm native_batch_norm_backward _native_batch_norm_legit
    _native_batch_norm_legit_no_training _batch_norm_with_update _batch_norm_no_update batch_norm_backward
    native_group_norm native_group_norm_backward _fused_rms_norm _fused_rms_norm_backward _weight_norm_interface
    _softmax _softmax_backward_data _safe_softmax _log_softmax _log_softmax_backward_data logsumexp gelu gelu_backward
    silu silu_backward mish mish_backward elu elu_backward celu selu glu glu_backward hardsigmoid hardsigmoid_backward
    hardswish hardswish_backward softplus softplus_backward log_sigmoid_forward log_sigmoid_backward sigmoid_backward
    tanh_backward logit logit_backward softshrink native_dropout_backward xlogy special_xlog1py sinc mse_loss
    mse_loss_backward smooth_l1_loss smooth_l1_loss_backward huber_loss huber_loss_backward binary_cross_entropy
    binary_cross_entropy_backward binary_cross_entropy_with_logits soft_margin_loss soft_margin_loss_backward
    nll_loss_forward nll_loss_backward nll_loss2d_forward nll_loss2d_backward multi_margin_loss
    multilabel_margin_loss_forward addcmul addcdiv lerp linalg_cross _scaled_dot_product_flash_attention_for_cpu
    grid_sampler_2d upsample_linear1d upsample_bilinear2d upsample_trilinear3d upsample_bicubic2d pdist _euclidean_dist
    affine_grid_generator remainder dist renorm
    """
)
"""What runs as a decomposition of PyTorch's, where that is to be had."""

UPDATES = names("_fused_adam _fused_adamw _fused_sgd _fused_adagrad")
"""Whole updates of an optimizer, which run as its own loop."""

STATISTICS = {"native_batch_norm": (3, 4), "cudnn_batch_norm": (3, 4), "miopen_batch_norm": (3, 4)}
"""Arguments that are written to though the schema does not say so: running statistics."""
