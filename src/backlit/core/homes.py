"""Where what the op library defines is defined (`python -m tests.meta.test_homes`)."""

PUBLIC = """\
autograd.function: _function
core.inplace: _write leaf overwrite to with_history
core.sparse: sparse_coo_tensor
ops.access: clone
ops.activation: celu celu_ hardshrink nn.functional.celu nn.functional.celu_ nn.functional.elu
ops.activation: nn.functional.elu_ nn.functional.gaussian nn.functional.gelu nn.functional.glu
ops.activation: nn.functional.hardshrink nn.functional.hardsigmoid nn.functional.hardswish
ops.activation: nn.functional.hardtanh nn.functional.hardtanh_ nn.functional.leaky_relu
ops.activation: nn.functional.leaky_relu_ nn.functional.logsigmoid nn.functional.mish
ops.activation: nn.functional.prelu nn.functional.relu nn.functional.relu6 nn.functional.relu_
ops.activation: nn.functional.rrelu nn.functional.rrelu_ nn.functional.selu nn.functional.selu_
ops.activation: nn.functional.sigmoid nn.functional.silu nn.functional.softplus
ops.activation: nn.functional.softshrink nn.functional.softsign nn.functional.tanh
ops.activation: nn.functional.tanhshrink nn.functional.threshold nn.functional.threshold_ prelu
ops.activation: relu relu_ rrelu rrelu_ selu selu_ sigmoid special.expit threshold threshold_
ops.arithmetic: abs absolute add div divide float_power floor_divide fmod gcd lcm ldexp mul
ops.arithmetic: multiply neg negative positive pow reciprocal remainder rsub sgn sign square sub
ops.arithmetic: subtract true_divide
ops.arithmetic_products: addcdiv addcmul lerp
ops.bitwise: bitwise_and bitwise_left_shift bitwise_not bitwise_or bitwise_right_shift bitwise_xor
ops.comparison: allclose clamp clamp_max clamp_min clip eq equal fmax fmin ge greater
ops.comparison: greater_equal gt heaviside isclose isfinite isinf isnan isneginf isposinf isreal
ops.comparison: le less less_equal logical_and logical_not logical_or logical_xor lt maximum
ops.comparison: minimum ne not_equal signbit where
ops.convert: BFloat16Tensor BoolTensor ByteTensor CharTensor DoubleTensor FloatTensor HalfTensor
ops.convert: IntTensor LongTensor ShortTensor is_complex is_floating_point is_nonzero is_same_size
ops.convert: is_tensor numel resize_ resize_as_ result_type type_as
ops.create: arange complex empty empty_like empty_permuted empty_strided eye full full_like
ops.create: linspace logspace new_empty new_empty_strided new_full new_ones new_tensor new_zeros
ops.create: ones ones_like range scalar_tensor zeros zeros_like
ops.distance: cdist cosine_similarity dist nn.functional.cosine_similarity
ops.distance: nn.functional.pairwise_distance nn.functional.pdist pairwise_distance pdist renorm
ops.dropout: _alpha_dropout _dropout nn.functional.alpha_dropout nn.functional.dropout
ops.dropout: nn.functional.dropout1d nn.functional.dropout2d nn.functional.dropout3d
ops.dropout: nn.functional.feature_alpha_dropout
ops.einsum: einsum
ops.extreme: aminmax argmax argmin max min
ops.functional: nn.functional.bilinear nn.functional.embedding nn.functional.embedding_bag
ops.functional: nn.functional.linear
ops.gather: argwhere gather index_select masked_select nn.functional.one_hot nonzero
ops.gather: nonzero_static take take_along_dim
ops.index: index_put index_put_
ops.interpolate: nn.functional.interpolate nn.functional.upsample nn.functional.upsample_bilinear
ops.interpolate: nn.functional.upsample_nearest
ops.linalg: addbmm addmm addmv addr baddbmm bmm chain_matmul dot ger inner kron linalg.multi_dot
ops.linalg: matmul mm mv outer tensordot vdot
ops.linalg_factor: cholesky linalg.cholesky linalg.cholesky_ex linalg.eigh linalg.eigvalsh
ops.linalg_factor: linalg.qr linalg.svd linalg.svdvals qr svd
ops.linalg_function: linalg.eig linalg.eigvals linalg.matrix_exp linalg.matrix_power
ops.linalg_function: linalg.tensorinv linalg.tensorsolve matrix_exp matrix_power
ops.linalg_lu: linalg.lu linalg.lu_factor linalg.lu_factor_ex linalg.lu_solve lu lu_solve
ops.linalg_lu: lu_unpack
ops.linalg_norm: cross linalg.cond linalg.cross linalg.diagonal linalg.householder_product
ops.linalg_norm: linalg.matrix_norm linalg.norm linalg.vander linalg.vecdot linalg.vector_norm
ops.linalg_norm: norm orgqr vander
ops.linalg_solve: cholesky_inverse cholesky_solve det inverse linalg.det linalg.inv linalg.inv_ex
ops.linalg_solve: linalg.lstsq linalg.matrix_rank linalg.pinv linalg.slogdet linalg.solve
ops.linalg_solve: linalg.solve_ex linalg.solve_triangular logdet pinverse slogdet triangular_solve
ops.loss: nn.functional.binary_cross_entropy nn.functional.binary_cross_entropy_with_logits
ops.loss: nn.functional.cross_entropy nn.functional.huber_loss nn.functional.kl_div
ops.loss: nn.functional.l1_loss nn.functional.mse_loss nn.functional.nll_loss
ops.loss: nn.functional.smooth_l1_loss
ops.loss_ctc: nn.functional.ctc_loss
ops.loss_likelihood: nn.functional.gaussian_nll_loss nn.functional.poisson_nll_loss
ops.loss_linear: nn.functional.linear_cross_entropy
ops.loss_margin: nn.functional.cosine_embedding_loss nn.functional.hinge_embedding_loss
ops.loss_margin: nn.functional.margin_ranking_loss nn.functional.multi_margin_loss
ops.loss_margin: nn.functional.multilabel_margin_loss nn.functional.multilabel_soft_margin_loss
ops.loss_margin: nn.functional.soft_margin_loss nn.functional.triplet_margin_loss
ops.loss_margin: nn.functional.triplet_margin_with_distance_loss
ops.masked: masked.amax masked.amin masked.argmax masked.argmin masked.cumprod masked.cumsum
ops.masked: masked.log_softmax masked.logaddexp masked.logsumexp masked.mean masked.median
ops.masked: masked.norm masked.normalize masked.prod masked.softmax masked.softmin masked.std
ops.masked: masked.sum masked.var
ops.mathematics: angle ceil conj conj_physical copysign exp exp2 expm1 fix floor frac frexp log
ops.mathematics: log10 log1p log2 logaddexp logaddexp2 mvlgamma nan_to_num nextafter real
ops.mathematics: resolve_conj resolve_neg round rsqrt special.exp2 special.expm1 special.log1p
ops.mathematics: special.multigammaln special.round sqrt trunc
ops.mathematics_trig: acos acosh arccos arccosh arcsin arcsinh arctan arctan2 arctanh asin asinh
ops.mathematics_trig: atan atan2 atanh cos cosh deg2rad hypot rad2deg sin sinc sinh special.sinc
ops.mathematics_trig: tan tanh
ops.normalization: nn.functional.batch_norm nn.functional.group_norm nn.functional.instance_norm
ops.normalization: nn.functional.layer_norm nn.functional.local_response_norm
ops.normalization: nn.functional.normalize nn.functional.rms_norm
ops.random: _integers _normal _uniform bernoulli binomial multinomial normal poisson rand
ops.random: rand_like randint randint_like randn randn_like randperm
ops.reduce: all amax amin any count_nonzero logsumexp mean nanmean nansum prod sum trace
ops.scan: cummax cummin cumprod cumsum cumulative_trapezoid diff gradient logcumsumexp trapezoid
ops.scan: trapz
ops.scatter: fill fill_ index_add index_copy index_fill index_reduce masked_fill masked_scatter
ops.scatter: put scatter scatter_add scatter_reduce zero_
ops.search: bincount bucketize histc histogram isin searchsorted
ops.shape: adjoint broadcast_shapes broadcast_tensors broadcast_to detach expand expand_as flatten
ops.shape: moveaxis movedim permute ravel reshape reshape_as squeeze swapaxes swapdims t transpose
ops.shape: unflatten unsqueeze view view_as
ops.shape_arrange: diag diag_embed diagflat flip fliplr flipud repeat repeat_interleave roll rot90
ops.shape_arrange: tile tril tril_indices triu triu_indices
ops.shape_join: atleast_1d atleast_2d atleast_3d block_diag cartesian_prod cat column_stack
ops.shape_join: combinations concat concatenate dstack hstack meshgrid row_stack stack vstack
ops.shape_memory: alias_copy as_strided_copy contiguous detach_copy diagonal_copy expand_copy
ops.shape_memory: is_contiguous permute_copy select_copy slice_copy split_copy
ops.shape_memory: split_with_sizes_copy squeeze_copy storage_offset stride t_copy transpose_copy
ops.shape_memory: unbind_copy unfold_copy unsqueeze_copy view_copy
ops.shape_pad: channel_shuffle nn.functional.channel_shuffle nn.functional.fold nn.functional.pad
ops.shape_pad: nn.functional.pixel_shuffle nn.functional.pixel_unshuffle nn.functional.unfold
ops.shape_pad: pixel_shuffle pixel_unshuffle
ops.shape_split: as_strided as_strided_scatter chunk diagonal diagonal_scatter dsplit hsplit
ops.shape_split: narrow narrow_copy select select_scatter slice_scatter split split_with_sizes
ops.shape_split: tensor_split unbind unfold vsplit
ops.softmax: _gumbel_softmax log_softmax nn.functional.entropy nn.functional.gumbel_softmax
ops.softmax: nn.functional.log_softmax nn.functional.softmax nn.functional.softmin
ops.softmax: nn.functional.topk_error softmax
ops.sort: argsort kthvalue mode msort sort topk unique unique_consecutive
ops.special: digamma erf erfc erfinv i0 igamma igammac lgamma logit polygamma special.airy_ai
ops.special: special.bessel_j0 special.bessel_j1 special.bessel_y0 special.bessel_y1
ops.special: special.chebyshev_polynomial_t special.chebyshev_polynomial_u
ops.special: special.chebyshev_polynomial_v special.chebyshev_polynomial_w special.digamma
ops.special: special.entr special.erf special.erfc special.erfcx special.erfinv special.gammainc
ops.special: special.gammaincc special.gammaln special.hermite_polynomial_h
ops.special: special.hermite_polynomial_he special.i0 special.i0e special.i1 special.i1e
ops.special: special.laguerre_polynomial_l special.legendre_polynomial_p special.log_ndtr
ops.special: special.logit special.modified_bessel_i0 special.modified_bessel_i1
ops.special: special.modified_bessel_k0 special.modified_bessel_k1 special.ndtr special.ndtri
ops.special: special.polygamma special.psi special.scaled_modified_bessel_k0
ops.special: special.scaled_modified_bessel_k1 special.shifted_chebyshev_polynomial_t
ops.special: special.shifted_chebyshev_polynomial_u special.shifted_chebyshev_polynomial_v
ops.special: special.shifted_chebyshev_polynomial_w special.spherical_bessel_j0 special.xlog1py
ops.special: special.xlogy special.zeta xlogy
ops.statistics: corrcoef cov median nanmedian nanquantile quantile std std_mean var var_mean
ops.sum_to_size: sum_to_size
"""

METHODS = """\
autograd.hooks: register_hook register_post_accumulate_grad_hook retain_grad retains_grad
autograd.methods: backward
compiler: source
ops.access: __array__ __bool__ __deepcopy__ __float__ __format__ __index__ __int__ __iter__
ops.access: __reduce_ex__ __repr__ _version bfloat16 bool byte char cpu data dim double
ops.access: element_size float grad half int is_complex is_cuda is_floating_point is_leaf
ops.access: is_quantized is_sparse item itemsize long nbytes ndim nelement numel numpy
ops.access: requires_grad_ short size to tolist
ops.arithmetic: __rdiv__
ops.comparison: where
ops.convert: __dlpack__ __dlpack_device__ cuda data_ptr dense_dim device get_device is_inference
ops.convert: is_pinned is_shared layout names pin_memory share_memory_ type
ops.index: __getitem__ __setitem__ copy_
ops.random_inplace: bernoulli_ cauchy_ exponential_ geometric_ log_normal_ normal_ random_
ops.random_inplace: uniform_
ops.shape_inplace: as_strided_ squeeze_ swapaxes_ swapdims_ t_ transpose_ unsqueeze_
ops.shape_memory: H T mH mT
ops.special: polygamma polygamma_
"""

PRIMITIVES = """\
autograd.function: function
ops.access: clone
ops.activation: relu sigmoid
ops.arithmetic: abs add div floor_divide fmod gcd mul neg pow remainder sign square sub
ops.bitwise: bitwise_and bitwise_left_shift bitwise_not bitwise_or bitwise_right_shift bitwise_xor
ops.comparison: eq ge gt le lt maximum minimum ne signbit where
ops.extreme: argmax argmin
ops.functional: scale_gradient sum_rows take_rows
ops.index_cards: gather index index_write scatter scatter_reduce wrap_index
ops.linalg: matmul
ops.linalg_factor: cholesky eigh qr solve_triangular svd
ops.linalg_function: matrix_exp
ops.linalg_lu: lu_factor permutation zero_pivot
ops.linalg_norm: vector_norm
ops.linalg_solve: cofactor det inv inv_ex pinv slogdet solve solve_ex
ops.loss: binary_cross_entropy pick place
ops.mathematics: ceil copysign exp exp2 expm1 floor frexp log log10 log1p log2 logaddexp nextafter
ops.mathematics: round rsqrt sqrt trunc
ops.mathematics_trig: acos acosh asin asinh atan atan2 atanh cos cosh hypot sin sinc sinh tan tanh
ops.movement: cat convert detach expand flip full leaf overwrite permute reshape slice slice_write
ops.movement: strided strided_write with_history
ops.normalization: standardize
ops.random: random_uniform
ops.reduce: amax amin prod sum
ops.scan: cummax cummin cumprod cumsum linear_scan logcumsumexp
ops.search: histc histogram searchsorted
ops.softmax: log_softmax softmax
ops.sort: argkth argmode argsort argtopk
ops.special: bessel digamma entr erf erfc erfcx erfinv from_scipy igamma igammac lgamma ndtri
ops.special: polygamma polynomial xlogy zeta
ops.statistics: root
"""

OF_TENSOR = """\
H T __abs__ __add__ __and__ __array__ __bool__ __deepcopy__ __dlpack__ __dlpack_device__ __eq__
__float__ __floordiv__ __format__ __ge__ __getitem__ __gt__ __iadd__ __iand__ __ifloordiv__
__ilshift__ __imatmul__ __imod__ __imul__ __index__ __int__ __invert__ __ior__ __ipow__
__irshift__ __isub__ __iter__ __itruediv__ __ixor__ __le__ __lshift__ __lt__ __matmul__ __mod__
__mul__ __ne__ __neg__ __or__ __pos__ __pow__ __radd__ __rand__ __rdiv__ __reduce_ex__ __repr__
__rfloordiv__ __rlshift__ __rmatmul__ __rmod__ __rmul__ __ror__ __rpow__ __rrshift__ __rshift__
__rsub__ __rtruediv__ __rxor__ __setitem__ __sub__ __truediv__ __xor__ _version abs abs_ absolute
absolute_ acos acos_ acosh acosh_ add add_ addbmm addbmm_ addcdiv addcdiv_ addcmul addcmul_ addmm
addmm_ addmv addmv_ addr addr_ adjoint all allclose amax amin aminmax angle any arccos arccos_
arccosh arccosh_ arcsin arcsin_ arcsinh arcsinh_ arctan arctan2 arctan2_ arctan_ arctanh arctanh_
argmax argmin argsort argwhere as_strided as_strided_ as_strided_scatter asin asin_ asinh asinh_
atan atan2 atan2_ atan_ atanh atanh_ backward baddbmm baddbmm_ bernoulli bernoulli_ bfloat16
bincount binomial bitwise_and bitwise_and_ bitwise_left_shift bitwise_left_shift_ bitwise_not
bitwise_not_ bitwise_or bitwise_or_ bitwise_right_shift bitwise_right_shift_ bitwise_xor
bitwise_xor_ bmm bool broadcast_to byte cauchy_ ceil ceil_ celu celu_ char cholesky
cholesky_inverse cholesky_solve chunk clamp clamp_ clamp_max clamp_max_ clamp_min clamp_min_ clip
clip_ clone combinations conj conj_physical conj_physical_ contiguous copy_ copysign copysign_
corrcoef cos cos_ cosh cosh_ count_nonzero cov cpu cross cuda cummax cummin cumprod cumprod_
cumsum cumsum_ data data_ptr deg2rad deg2rad_ dense_dim det detach device diag diag_embed diagflat
diagonal diagonal_scatter diff digamma digamma_ dim dist div div_ divide divide_ dot double dsplit
element_size eq eq_ equal erf erf_ erfc erfc_ erfinv erfinv_ exp exp2 exp2_ exp_ expand expand_as
expm1 expm1_ exponential_ fill fill_ fix fix_ flatten flip fliplr flipud float float_power
float_power_ floor floor_ floor_divide floor_divide_ fmax fmin fmod fmod_ frac frac_ frexp gather
gcd gcd_ ge ge_ geometric_ ger get_device grad gradient greater greater_ greater_equal
greater_equal_ gt gt_ half hardshrink heaviside heaviside_ histc histogram hsplit hypot hypot_ i0
i0_ igamma igamma_ igammac igammac_ index_add index_add_ index_copy index_copy_ index_fill
index_fill_ index_put index_put_ index_reduce index_reduce_ index_select inner int inverse
is_complex is_contiguous is_cuda is_floating_point is_inference is_leaf is_nonzero is_pinned
is_quantized is_same_size is_shared is_sparse isclose isfinite isinf isnan isneginf isposinf
isreal item itemsize kron kthvalue layout lcm lcm_ ldexp ldexp_ le le_ leaf lerp lerp_ less less_
less_equal less_equal_ lgamma lgamma_ log log10 log10_ log1p log1p_ log2 log2_ log_ log_normal_
log_softmax logaddexp logaddexp2 logcumsumexp logdet logical_and logical_and_ logical_not
logical_not_ logical_or logical_or_ logical_xor logical_xor_ logit logit_ logsumexp long lt lt_ lu
lu_solve mH mT masked_fill masked_fill_ masked_scatter masked_scatter_ masked_select matmul
matrix_exp matrix_power max maximum mean median min minimum mm mode moveaxis movedim msort mul
mul_ multinomial multiply multiply_ mv mvlgamma mvlgamma_ names nan_to_num nan_to_num_ nanmean
nanmedian nanquantile nansum narrow narrow_copy nbytes ndim ne ne_ neg neg_ negative negative_
nelement new_empty new_empty_strided new_full new_ones new_tensor new_zeros nextafter nextafter_
nonzero nonzero_static norm normal_ not_equal not_equal_ numel numpy orgqr outer pdist permute
pin_memory pinverse poisson polygamma polygamma_ positive pow pow_ prelu prod put put_ qr quantile
rad2deg rad2deg_ random_ ravel real reciprocal reciprocal_ register_hook
register_post_accumulate_grad_hook relu relu_ remainder remainder_ renorm renorm_ repeat
repeat_interleave requires_grad_ reshape reshape_as resize_ resize_as_ resolve_conj resolve_neg
retain_grad retains_grad roll rot90 round round_ rrelu rrelu_ rsqrt rsqrt_ rsub scatter scatter_
scatter_add scatter_add_ scatter_reduce scatter_reduce_ select select_scatter selu selu_ sgn sgn_
share_memory_ short sigmoid sigmoid_ sign sign_ signbit sin sin_ sinc sinc_ sinh sinh_ size
slice_scatter slogdet softmax sort source split split_with_sizes sqrt sqrt_ square square_ squeeze
squeeze_ std std_mean storage_offset stride sub sub_ subtract subtract_ sum sum_to_size svd
swapaxes swapaxes_ swapdims swapdims_ t t_ take take_along_dim tan tan_ tanh tanh_ tensor_split
threshold threshold_ tile to tolist topk trace transpose transpose_ triangular_solve tril tril_
triu triu_ true_divide true_divide_ trunc trunc_ type type_as unbind unflatten unfold uniform_
unique unique_consecutive unsqueeze unsqueeze_ var var_mean vdot view view_as vsplit where xlogy
xlogy_ zero_
"""
