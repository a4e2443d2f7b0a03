// Packing of splats, once a model, and the first look at each of them, once a camera.
#include "rasterizer/splat.cuh"

// The axes R S and the logarithm of the opacity. means, scales, colors [count, 3], opacities
// [count], quats [count, 4]; colors is null where spherical harmonics are given.
GEOLRM_KERNEL GEOLRM_BOUNDS(256, 2)
    pack_splats(const float* __restrict__ means, const float* __restrict__ opacities,
                const float* __restrict__ scales, const float* __restrict__ quats,
                const float* __restrict__ colors, int count,
                geolrm::PackedSplat* __restrict__ packed) {
  using namespace geolrm;
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= count) return;
  const Index at = i;
  double rotation[9];
  rotation_of_quaternion(quats + 4 * at, rotation);
  PackedSplat s;
#pragma unroll
  for (int k = 0; k < 3; ++k) {
    s.mean[k] = means[3 * at + k];
    s.color[k] = colors ? colors[3 * at + k] : 0.0f;
  }
#pragma unroll
  for (int k = 0; k < 9; ++k) s.axes[k] = static_cast<float>(rotation[k] * scales[3 * at + k % 3]);
  s.log2_opacity = log2f(opacities[at]);
  packed[at] = s;
}

// Sets every pixel unfinished, none undecided, and the matrix to zero. alive [cameras, tiles],
// listed [cameras], matrix [quads] of 16 bytes.
GEOLRM_KERNEL GEOLRM_BOUNDS(256, 2)
    clear_tiles(int cameras, int width, int height, int tiles_x, int tiles_y, int quads,
                geolrm::Bits* __restrict__ alive, geolrm::Bits* __restrict__ listed,
                int4* __restrict__ matrix) {
  using namespace geolrm;
  const int step = gridDim.x * blockDim.x, start = blockIdx.x * blockDim.x + threadIdx.x;
  for (int i = start; i < quads; i += step) matrix[i] = make_int4(0, 0, 0, 0);
  for (int i = start; i < cameras; i += step) listed[i] = 0;
  const int tiles = tiles_x * tiles_y;
  for (int i = start; i < cameras * tiles; i += step) {
    const int tile_x = i % tiles % tiles_x, tile_y = i % tiles / tiles_x;
    const int cells_x = (width - tile_x * kTile + kCell - 1) / kCell;
    const int cells_y = (height - tile_y * kTile + kCell - 1) / kCell;
    const Bits columns = span_of_four(0, cells_x - 1);
    Bits cells = 0;
    for (int row = 0; row < kTileCells && row < cells_y; ++row) {
      cells |= columns << (kTileCells * row);
    }
    alive[i] = cells;
  }
}

// keys [cameras, count]: bits of the positive float32 camera z, ordered like z, or kNotVisible; ids
// [cameras, count]; boxes [cameras, count].
GEOLRM_KERNEL GEOLRM_BOUNDS(256, 2)
    project_splats(const geolrm::PackedSplat* __restrict__ packed, int count,
                   const geolrm::SplatView* __restrict__ views, int width, int height,
                   geolrm::Bits* __restrict__ keys, geolrm::Bits* __restrict__ ids,
                   geolrm::CellBox* __restrict__ boxes) {
  using namespace geolrm;
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= count) return;
  const SplatView& view = views[blockIdx.y];
  const Index at = static_cast<Index>(blockIdx.y) * count + i;
  const PackedSplat s = packed[i];
  const CameraPoint p = to_camera(view, s.mean);
  const float z = static_cast<float>(p.z), inverse_z = 1.0f / z;
  const float u = static_cast<float>(p.x) * inverse_z, v = static_cast<float>(p.y) * inverse_z;
  const Spread<float> spread = spread_of<float>(view, s.axes, u, v, inverse_z);
  // What float loses where a needle's terms cancel, from bounds of |J| and |S|.
  float size = 0.0f;
#pragma unroll
  for (int k = 0; k < 9; ++k) size += s.axes[k] * s.axes[k];
  const float tx = within(u, view.clip_low[0], view.clip_high[0]);
  const float ty = within(v, view.clip_low[1], view.clip_high[1]);
  const float gx = static_cast<float>(view.focal[0]) * inverse_z;
  const float gy = static_cast<float>(view.focal[1]) * inverse_z;
  const float eps = static_cast<float>(view.eps2d);
  const float var_x = spread.xx + 1e-8f * gx * gx * (1.0f + tx * tx) * size + eps;
  const float var_y = spread.yy + 1e-8f * gy * gy * (1.0f + ty * ty) * size + eps;
  const float mean_x =
      static_cast<float>(view.focal[0]) * u + static_cast<float>(view.principal[0]);
  const float mean_y =
      static_cast<float>(view.focal[1]) * v + static_cast<float>(view.principal[1]);
  constexpr float kTwoLn2 = 1.3862944f, kSlackPixels = 0.02f, kInverse = 1.0f / kCell;
  const float reach = kTwoLn2 * (s.log2_opacity + static_cast<float>(view.log2_inv_alpha_min));
  const float half_x = root(reach * var_x) * 1.0001f + kSlackPixels + 1e-6f * fabsf(mean_x);
  const float half_y = root(reach * var_y) * 1.0001f + kSlackPixels + 1e-6f * fabsf(mean_y);
  const float last_x = static_cast<float>((width + kCell - 1) / kCell - 1);
  const float last_y = static_cast<float>((height + kCell - 1) / kCell - 1);
  const float left = (mean_x - half_x - 0.5f) * kInverse;
  const float right = (mean_x + half_x - 0.5f) * kInverse;
  const float top = (mean_y - half_y - 0.5f) * kInverse;
  const float bottom = (mean_y + half_y - 0.5f) * kInverse;
  // A comparison with NaN is false: such a splat is not rendered, nor one whose colour is no
  // number.
  const bool visible = p.z >= view.near_plane && reach >= 0.0f && right >= 0.0f && bottom >= 0.0f &&
                       left <= last_x + 1.0f && top <= last_y + 1.0f &&
                       fabsf(s.color[0]) + fabsf(s.color[1]) + fabsf(s.color[2]) < 3e38f;
  keys[at] = visible ? __float_as_uint(z) : kNotVisible;
  ids[at] = static_cast<Bits>(i);
  if (!visible) return;
  CellBox box;
  box.x0 = static_cast<unsigned short>(fminf(fmaxf(left, 0.0f), last_x));
  box.x1 = static_cast<unsigned short>(fminf(fmaxf(right, 0.0f), last_x));
  box.y0 = static_cast<unsigned short>(fminf(fmaxf(top, 0.0f), last_y));
  box.y1 = static_cast<unsigned short>(fminf(fmaxf(bottom, 0.0f), last_y));
  boxes[at] = box;
}
