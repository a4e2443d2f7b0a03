// One slab's splats, in order of depth: those that some unfinished cell may see are projected, and
// their bits set in the rows of the tiles they touch.
#include "rasterizer/splat.cuh"

namespace geolrm {

// The colour seen from the camera: max(0, SH + 0.5); NaN gives 0. sh [count, 3].
GEOLRM_DEVICE void sh_color(const float* sh, int count, const float* mean, const SplatView& view,
                            float* color) {
  double d[3], length = 0;
#pragma unroll
  for (int k = 0; k < 3; ++k) {
    d[k] = mean[k] - view.centre[k];
    length += d[k] * d[k];
  }
  const double scale = length > 0 ? 1.0 / root(length) : 0.0;
  float basis[16];
  sh_basis<float>(static_cast<float>(d[0] * scale), static_cast<float>(d[1] * scale),
                  static_cast<float>(d[2] * scale), count, basis);
  float sum[3] = {0.5f, 0.5f, 0.5f};
#pragma unroll
  for (int k = 0; k < 16; ++k) {
    if (k >= count) continue;
#pragma unroll
    for (int j = 0; j < 3; ++j) sum[j] += basis[k] * sh[3 * k + j];
  }
#pragma unroll
  for (int j = 0; j < 3; ++j) color[j] = sum[j] > 0.0f ? sum[j] : 0.0f;
}

// Double, so that needles keep their width; false where there is nothing to render.
GEOLRM_DEVICE bool project_splat(const PackedSplat& s, const SplatView& view, Record& out) {
  const CameraPoint p = to_camera(view, s.mean);
  const double inverse_z = 1.0 / p.z, u = p.x * inverse_z, v = p.y * inverse_z;
  const Spread<double> spread = spread_of<double>(view, s.axes, u, v, inverse_z);
  const ConicFactor<double> factor = conic_factor(spread, view.eps2d);
  out.mean_x = static_cast<float>(view.focal[0] * u + view.principal[0]);
  out.mean_y = static_cast<float>(view.focal[1] * v + view.principal[1]);
  out.a = static_cast<float>(factor.a);
  out.b = static_cast<float>(factor.b);
  out.c = static_cast<float>(factor.c);
  out.depth = static_cast<float>(p.z);
  out.log2_opacity = s.log2_opacity;
  if (view.antialiased != 0.0) {
    out.log2_opacity += 0.5f * log2f(static_cast<float>(spread.determinant / factor.after));
  }
  // A covariance without area, or too large for float, is not rendered.
  return factor.after > 0 && out.a > 0 && out.a < 1e30f && out.c > 0 && out.c < 1e30f &&
         abs(out.b) < 1e30f && abs(out.mean_x) < 1e30f && abs(out.mean_y) < 1e30f &&
         out.log2_opacity + static_cast<float>(view.log2_inv_alpha_min) >= 0.0f;
}

}  // namespace geolrm

// Ranks [first, stop) of `ids` [cameras, count]. sh [count, coefficients, 3] or null. matrix
// [cameras, tiles, words], records [cameras, 32 * words] by rank - first.
GEOLRM_KERNEL GEOLRM_BOUNDS(256, 2)
    bin_splats(const geolrm::PackedSplat* __restrict__ packed, const float* __restrict__ sh,
               int coefficients, int count, const geolrm::SplatView* __restrict__ views,
               const geolrm::Bits* __restrict__ ids, const geolrm::CellBox* __restrict__ boxes,
               const int* __restrict__ visible, int first, int stop, int tiles_x, int tiles_y,
               int words, const geolrm::Bits* __restrict__ alive, geolrm::Bits* __restrict__ matrix,
               geolrm::Record* __restrict__ records) {
  using namespace geolrm;
  const int column = blockIdx.x * blockDim.x + threadIdx.x, rank = first + column;
  const int camera = blockIdx.y;
  if (rank >= stop || rank >= visible[camera]) return;
  const Index of_camera = static_cast<Index>(camera) * count;
  const Bits id = ids[of_camera + rank];
  const CellBox box = boxes[of_camera + id];
  const int tile_x0 = box.x0 / kTileCells, tile_x1 = box.x1 / kTileCells;
  const int tile_y0 = box.y0 / kTileCells, tile_y1 = box.y1 / kTileCells;
  const Index of_tiles = static_cast<Index>(camera) * tiles_x * tiles_y;
  const Bits* const open = alive + of_tiles;
  bool seen = false;
  for (int y = tile_y0; y <= tile_y1 && !seen; ++y) {
    for (int x = tile_x0; x <= tile_x1 && !seen; ++x) {
      seen = (cells_in_box(box, x, y) & open[y * tiles_x + x]) != 0;
    }
  }
  if (!seen) return;
  const SplatView& view = views[camera];
  const PackedSplat s = packed[id];
  Record record;
  if (!project_splat(s, view, record)) return;
  const float least = static_cast<float>(view.log2_inv_alpha_min);
  bool touches = false;
  for (int y = tile_y0; y <= tile_y1; ++y) {
    for (int x = tile_x0; x <= tile_x1; ++x) {
      const int tile = y * tiles_x + x;
      const Bits cells = cells_in_box(box, x, y) & open[tile];
      if (cells == 0 || (cells_touched(record, least, x, y) & cells) == 0) continue;
      atomicOr(matrix + (of_tiles + tile) * words + column / 32, 1u << (column % 32));
      touches = true;
    }
  }
  if (!touches) return;
  float color[3] = {s.color[0], s.color[1], s.color[2]};
  if (sh)
    sh_color(sh + static_cast<Index>(id) * coefficients * 3, coefficients, s.mean, view, color);
  record.red = color[0];
  record.green = color[1];
  record.blue = color[2];
  record.pad[0] = record.pad[1] = 0.0f;
  records[static_cast<Index>(camera) * words * 32 + column] = record;
}
