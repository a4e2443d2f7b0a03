"""Native kernels of geolrm."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

def best_isa() -> str:
    """Return the instruction set the kernels use on this CPU: plain, avx2, avx512 or neon."""

def deformable_cross_attention(
    values: NDArray,
    level_shapes: NDArray,
    reference_points: NDArray,
    sampling_offsets: NDArray,
    attention_logits: NDArray,
    view_weight: NDArray,
    view_bias: float,
    out: NDArray,
    threads: int = 0,
    isa: str = "",
) -> None:
    """Sample every view around each query and fuse the views by a softmax, into `out`.

    Args:
        values: [V, h, L, e] float32 or float16, head-major; L is the sum of H*W over the levels.
        level_shapes: [levels, 2] int64, (H, W).
        reference_points: [V, N, 2] float32, (u, v) in each view, [0, 1] inside.
        sampling_offsets: [N, h*levels*P*2] float32, (x, y) in pixels of the level.
        attention_logits: [N, h*levels*P] float32, softmax over levels*P.
        view_weight: [h*e] float32, the linear map to a view's logit.
        view_bias: Its bias.
        out: [N, h*e] float32.
        threads: 0 for all cores; the result does not depend on it.
        isa: plain, avx2, avx512 or neon; empty for the best.
    """

def mark_touched(
    level_shapes: NDArray,
    reference_points: NDArray,
    sampling_offsets: NDArray,
    num_heads: int,
    num_points: int,
    touched: NDArray,
    threads: int = 0,
    isa: str = "",
) -> None:
    """Set touched [V, L] uint8 to 1 at the pixels deformable_cross_attention reads, else 0."""

def query_order(reference_points: NDArray) -> NDArray[np.int32]:
    """Return the order [N] in which deformable_cross_attention takes its queries.

    Neighbours in space are neighbours in it; no result depends on it.

    Args:
        reference_points: [V, N, 2] float32, (u, v) in each view.
    """

class ValueProjection:
    """The linear map from features to values, head-major, at the rows that are read."""

    def __init__(self, weight: NDArray, bias: NDArray, num_heads: int) -> None:
        """Pack weight [h*e, C] float32 or float16 and bias [h*e] float32."""

    def __call__(
        self,
        features: NDArray,
        touched: NDArray | None,
        out: NDArray,
        threads: int = 0,
        isa: str = "",
    ) -> None:
        """Project features [V, L, C] float32 into out [V, h, L, e], float32 or float16.

        touched [V, L] uint8 chooses the rows, None all of them; the others are left as they are.
        """

def self_attention(
    q: NDArray,
    k: NDArray,
    v: NDArray,
    num_heads: int,
    out: NDArray,
    threads: int = 0,
    isa: str = "",
) -> None:
    """Attend, softmax(q k^T / sqrt(e)) v for each head, into `out`; all [N, h*e] float32."""

def deformable_sampling(
    value: NDArray,
    level_shapes: NDArray,
    reference: NDArray,
    offsets: NDArray,
    weights: NDArray,
    num_heads: int,
    out: NDArray,
    threads: int = 0,
    isa: str = "",
) -> None:
    """Sample every view around each query and weigh the samples, into `out` [V, N, h*e].

    Args:
        value: [V, L, h*e] float32, heads in contiguous blocks; L is the sum of H*W over the levels.
        level_shapes: [levels, 2] int64, (H, W).
        reference: [V, N, 2] float32, (u, v) in each view, [0, 1] inside.
        offsets: [N, h*levels*P*2] float32, (x, y) in pixels of the level.
        weights: [N, h*levels*P] float32, used as they are.
        num_heads: h.
        out: [V, N, h*e] float32.
        threads: 0 for all cores; the result does not depend on it.
        isa: plain, avx2, avx512 or neon; empty for the best.
    """

def deformable_sampling_backward(
    value: NDArray,
    level_shapes: NDArray,
    reference: NDArray,
    offsets: NDArray,
    weights: NDArray,
    num_heads: int,
    g_out: NDArray,
    g_value: NDArray,
    g_offsets: NDArray,
    g_weights: NDArray,
    threads: int = 0,
    isa: str = "",
) -> None:
    """Add the gradients of deformable_sampling, for g_out, to the three arrays after it."""

def dlpack_capsule(
    *,
    address: int,
    shape: list[int],
    dtype: tuple[int, int],
    device: tuple[int, int],
    owner: object,
    versioned: bool,
    copied: bool,
) -> object:
    """Return a DLPack capsule over memory that ``owner`` keeps; types in DLPack's numbers."""

class RasterParameters:
    """Every number of the splatting mathematics."""

    def __init__(
        self,
        *,
        background: Sequence[float] = ...,
        near: float = 0.01,
        eps2d: float = 0.3,
        alpha_max: float = 0.99,
        antialiased: bool = False,
        alpha_min: float = ...,
        transmittance_min: float = 1e-4,
        clip_margin: float = 0.3,
    ) -> None: ...

def raster_views(
    w2c: NDArray[np.float64],
    intrinsics: NDArray[np.float64],
    width: int,
    height: int,
    parameters: RasterParameters,
) -> NDArray[np.float64]:
    """Check V cameras and return what the GPU's kernels read of them, [V, 36] float64."""

class ImageLoss:
    """What an error of a pixel costs: see Loss in csrc/rasterizer/rasterizer_kernel.h."""

    def __init__(
        self,
        *,
        huber: float,
        slope: float,
        square_share: float,
        alpha_share: float,
        factor: float = 1.0,
    ) -> None: ...

class SplatModel:
    """Checked and packed splats, reused over frames. Float32, contiguous."""

    def __init__(
        self,
        means: NDArray[np.float32],
        opacities: NDArray[np.float32],
        scales: NDArray[np.float32],
        quats: NDArray[np.float32],
        colors: NDArray[np.float32] | None = None,
        sh: NDArray[np.float32] | None = None,
        *,
        threads: int = 0,
    ) -> None: ...
    def __len__(self) -> int: ...
    def render(
        self,
        w2c: NDArray[np.float64],
        intrinsics: NDArray[np.float64],
        width: int,
        height: int,
        parameters: RasterParameters,
        rgb: NDArray[np.float32],
        alpha: NDArray[np.float32],
        depth: NDArray[np.float32],
        *,
        threads: int = 0,
        isa: str = "",
        tile_size: int = 64,
        pair_budget: int = 8388608,
        cull: bool = True,
        timed: bool = False,
    ) -> dict[str, float | int]: ...
    def backward(
        self,
        w2c: NDArray[np.float64],
        intrinsics: NDArray[np.float64],
        width: int,
        height: int,
        parameters: RasterParameters,
        g_rgb: NDArray[np.float32],
        g_alpha: NDArray[np.float32],
        g_depth: NDArray[np.float32],
        means: NDArray[np.float32],
        opacities: NDArray[np.float32],
        scales: NDArray[np.float32],
        quats: NDArray[np.float32],
        color: NDArray[np.float32],
        cameras: NDArray[np.float64] | None = None,
        *,
        threads: int = 0,
        isa: str = "",
        tile_size: int = 64,
        pair_budget: int = 2097152,
    ) -> dict[str, float | int]: ...
    def compare(
        self,
        w2c: NDArray[np.float64],
        intrinsics: NDArray[np.float64],
        width: int,
        height: int,
        parameters: RasterParameters,
        premultiplied: NDArray[np.float32],
        target_alpha: NDArray[np.float32],
        weights: NDArray[np.float32] | None,
        chosen: Sequence[int],
        loss: ImageLoss,
        means: NDArray[np.float32],
        opacities: NDArray[np.float32],
        scales: NDArray[np.float32],
        quats: NDArray[np.float32],
        color: NDArray[np.float32],
        cameras: NDArray[np.float64] | None = None,
        *,
        threads: int = 0,
        isa: str = "",
        tile_size: int = 64,
        pair_budget: int = 2097152,
    ) -> NDArray[np.float64]: ...

# --- refinement (csrc/refinement) ---

def step_adam(
    values: NDArray[np.float32],
    mean: NDArray[np.float32],
    square: NDArray[np.float32],
    gradient: NDArray[np.float32],
    rates: NDArray[np.float32],
    *,
    first: float,
    second: float,
    square_bias: float,
    floor: float,
    threads: int = 0,
) -> None:
    """Take one step of Adam in place; number i moves at the rate rates[i % len(rates)]."""

# --- mesh rasterizer (csrc/mesh_rasterizer) ---

def visible_faces(
    points: NDArray[np.float64],
    faces: NDArray[np.int32],
    width: int,
    height: int,
    ids: NDArray[np.int32],
    iz: NDArray[np.float32],
) -> None:
    """Fill ids [H, W] with the face seen at each pixel's centre (-1: none), iz [H, W] with 1 / z.

    points is [P, 3]: x and y in pixels and 1 / z, 0 for what is too near; faces is [F, 3].
    """

class TexturedMesh:
    """A triangle mesh with its textures, copied, ready to be rendered from any cameras."""

    def __init__(
        self,
        vertices: NDArray[np.float32],
        faces: NDArray[np.int32],
        uv: NDArray[np.float32],
        textures: Sequence[NDArray[np.uint8]],
        face_texture: NDArray[np.int32],
    ) -> None:
        """Copy vertices [P, 3], faces [F, 3], uv [P, 2] (v up), textures of [H, W, 3].

        face_texture [F] names the texture of each face.
        """

    def render(
        self,
        w2c: NDArray[np.float64],
        intrinsics: NDArray[np.float64],
        width: int,
        height: int,
        supersample: int,
        rgb: NDArray[np.float32],
        alpha: NDArray[np.float32],
        depth: NDArray[np.float32],
        threads: int = 1,
    ) -> None:
        """Fill rgb [V, H, W, 3] (straight), alpha [V, H, W] and depth [V, H, W] (z, 0: none).

        w2c is [V, 4, 4] (OpenCV axes), intrinsics [V, 3, 3] (px). Views are shared out among
        threads (0: all cores); the bits do not depend on their number.
        """
