// What the splat rasterizer's kernels share: their data, and the arithmetic that the CPU has too.
//
// A frame is a fixed sequence of launches (engine/rendering/splat_plan.py), the camera along
// grid.y:
//   project_splats       key (bits of camera z) and box of every splat                   project.cu
//   4 x count, scatter   stable radix sort of the keys; drops what is not visible           sort.cu
//   per slab, front to back:
//     bin_splats         drops what is hidden, projects the rest, sets its bits              bin.cu
//     blend_tiles        a block a tile: reads its row of bits, blends, marks cells        blend.cu
//   decide_pixels        the few pixels whose last splat only double can tell             decide.cu
// Instead of lists of splat-tile pairs there is a matrix of bits, a row for each tile and a column
// for each rank of the slab. Bits lie in order of depth, so nothing is sorted by tile; atomicOr
// reaches the same matrix in any order, so images are deterministic; and its size is known
// beforehand: no count that can overflow, no round trip to the host. See docs/gpu-rasterizer.md.
#pragma once

#include "cuda/device.cuh"

namespace geolrm {

GEOLRM_DEVICE float root(float x) { return sqrtf(x); }
GEOLRM_DEVICE double root(double x) { return sqrt(x); }

#include "arithmetic/ellipse_rows.h"
#include "arithmetic/last_splat.h"
#include "arithmetic/spherical_harmonics.h"
#include "arithmetic/splat_projection.h"
#include "arithmetic/splat_rotation.h"
#include "arithmetic/splat_view.h"

constexpr int kThreads = 256;
constexpr int kCell = 8;       // pixels along a cell's side: one warp, two pixels a lane
constexpr int kTileCells = 4;  // cells along a tile's side
constexpr int kTile = kCell * kTileCells;
constexpr Bits kNotVisible = 0xFFFFFFFFu;  // a key beyond that of every float

// One splat, 64 bytes, as on the CPU: covariance axes axes^T, kept as a factor for needles.
struct alignas(16) PackedSplat {
  float mean[3];
  float axes[9];
  float log2_opacity;
  float color[3];
};

// A splat in the image, 48 bytes: log2 alpha = log2_opacity - (a dx + b dy)^2 - (c dy)^2.
struct alignas(16) Record {
  float mean_x, mean_y, a, b;
  float c, log2_opacity, depth, red;
  float green, blue, pad[2];
};

// Cells that bound a splat's support; first and last, both inside the image.
struct alignas(8) CellBox {
  unsigned short x0, x1, y0, y1;
};

struct CameraPoint {
  double x, y, z;
};
GEOLRM_DEVICE CameraPoint to_camera(const SplatView& view, const float* mean) {
  const double* r = view.rotation;
  const double x = mean[0], y = mean[1], z = mean[2];
  return {r[0] * x + r[1] * y + r[2] * z + view.translation[0],
          r[3] * x + r[4] * y + r[5] * z + view.translation[1],
          r[6] * x + r[7] * y + r[8] * z + view.translation[2]};
}

template <class Wide>
GEOLRM_DEVICE Wide within(Wide x, double low, double high) {
  return x < Wide(low) ? Wide(low) : x > Wide(high) ? Wide(high) : x;
}

// The spread before eps2d of a splat at (u, v) = (x/z, y/z).
template <class Wide>
GEOLRM_DEVICE Spread<Wide> spread_of(const SplatView& view, const float* axes, Wide u, Wide v,
                                     Wide inverse_z) {
  const double* r = view.rotation;
  return spread_in_image<Wide>(
      within(u, view.clip_low[0], view.clip_high[0]),
      within(v, view.clip_low[1], view.clip_high[1]), Wide(view.focal[0]) * inverse_z,
      Wide(view.focal[1]) * inverse_z, Wide(r[0]), Wide(r[1]), Wide(r[2]), Wide(r[3]), Wide(r[4]),
      Wide(r[5]), Wide(r[6]), Wide(r[7]), Wide(r[8]), Wide(axes[0]), Wide(axes[1]), Wide(axes[2]),
      Wide(axes[3]), Wide(axes[4]), Wide(axes[5]), Wide(axes[6]), Wide(axes[7]), Wide(axes[8]));
}

// The cells of a tile that a record touches, row by row in 16 bits.
GEOLRM_DEVICE Bits cells_touched(const Record& s, float log2_inv_alpha_min, int tile_x,
                                 int tile_y) {
  const EllipseRows rows = ellipse_rows<kCell>(
      s.mean_x, s.mean_y, s.a, s.b, s.c, s.log2_opacity + log2_inv_alpha_min,
      static_cast<float>(tile_x * kTile), static_cast<float>(tile_y * kTile), kTileCells);
  Bits cells = 0;
#pragma unroll
  for (int step = 0; step < kTileCells; ++step) {
    const Bits columns = ellipse_columns<kCell>(rows, s.c, step, kTileCells);
    if (step < rows.steps) cells |= columns << (kTileCells * (rows.first + step));
  }
  return cells;
}

// Bits from `first` to `last` of four.
GEOLRM_DEVICE Bits span_of_four(int first, int last) {
  const int low = first < 0 ? 0 : first, high = last > 3 ? 3 : last;
  return low > high ? 0u : (2u << high) - (1u << low);
}

// The cells of a tile within a box.
GEOLRM_DEVICE Bits cells_in_box(const CellBox& box, int tile_x, int tile_y) {
  const Bits columns = span_of_four(box.x0 - tile_x * kTileCells, box.x1 - tile_x * kTileCells);
  const int y0 = box.y0 - tile_y * kTileCells, y1 = box.y1 - tile_y * kTileCells;
  Bits cells = 0;
#pragma unroll
  for (int row = 0; row < kTileCells; ++row) {
    if (y0 <= row && row <= y1) cells |= columns << (kTileCells * row);
  }
  return cells;
}

}  // namespace geolrm
