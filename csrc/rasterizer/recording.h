// A tile's way from front to back, written down so that the backward pass can go it in reverse.
#pragma once

#include <cstdint>

#include "aligned_buffer.h"
#include "rasterizer_kernel.h"

namespace geolrm::raster {

// What blending reads: log2 alpha = log2_opacity - u^2 - v^2 with u = a x + b y + u0, v = c y + v0
// at (x, y) px from the middle of the 64-px cell that the tile lies in. (a, b; 0, c) is the
// Cholesky factor of the conic over 2 ln 2: u and v never go negative in sum, and their rounding
// error grows with a needle's aspect ratio, not with the square of it, nor with the way to the
// needle's middle.
struct Record {
  float a, b, c;
  float u0, v0;
  float log2_opacity;
  float depth;
  float color[3];
  float mean_x, mean_y;  // px from the middle of the cell
};
static_assert(sizeof(Record) == 48, "records are read by broadcast");

// Sums over a splat's pixels in one tile. With h = dL/dalpha * alpha, where alpha is not clamped:
// h, h dx, h dy, h dx^2, h dx dy, h dy^2, then weight times dL/d(r, g, b, depth); the rest unused.
struct alignas(64) GradientRow {
  float values[16];
};
constexpr int kGradients = 10;
constexpr int kHasGradient = 15;  // of a splat's summed row: not 0 where any tile had one

struct Recording {
  AlignedBuffer<Record> records;
  AlignedBuffer<uint32_t> ids;
  AlignedBuffer<BlockRows> blocks;  // that a record touches
  int64_t record_count = 0;
  // What the worker's tiles have handed over so far: rows of splats with a gradient.
  AlignedBuffer<uint32_t> out_ids;
  AlignedBuffer<GradientRow> out_rows;
  int64_t out_count = 0;

  // Not inline: the kernels must not compile their own copies of what allocates.
  void reserve_batch();  // room for one more batch in a tile
  void reserve_out();    // room for all of the tile's rows
};

}  // namespace geolrm::raster
