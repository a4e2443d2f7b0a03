// The backward pass's way through a tile: its records by their numbers, front to back.
#pragma once

#include "cuda/scan.cuh"
#include "rasterizer/compositing.cuh"

namespace geolrm {

constexpr int kBatch = kScanThreads;  // records at a time
constexpr int kCellsOfWarp = 2;

// A tile's row of the matrix, one slab of all ranks, with the number of bits before each word.
struct TileRow {
  const Bits *bits, *before;
  int words;
};

// The last word whose first bit is the record `number` or one before it.
GEOLRM_DEVICE int word_of(const TileRow& row, Bits number) {
  int low = 0, high = row.words;  // the answer is in [low, high)
  while (high - low > 1) {
    const int middle = (low + high) / 2;
    if (row.before[middle] <= number) {
      low = middle;
    } else {
      high = middle;
    }
  }
  return low;
}

// The columns of records [begin, end) of a tile, by a whole block; they lie in `columns` after it.
GEOLRM_DEVICE void take_columns(const TileRow& row, Bits begin, Bits end, unsigned* columns) {
  const int last = word_of(row, end - 1);
  for (int w = word_of(row, begin) + threadIdx.x; w <= last; w += blockDim.x) {
    Bits number = row.before[w];
    for (Bits bits = row.bits[w]; bits != 0; bits &= bits - 1, ++number) {
      if (number < begin || number >= end) continue;
      columns[number - begin] = static_cast<unsigned>(32 * w + __ffs(static_cast<int>(bits)) - 1);
    }
  }
  __syncthreads();
}

// A lane's place: the upper of its two pixels in the first of its warp's cells.
struct LanePlace {
  int x, y;              // px of the image
  float from_x, from_y;  // its centre from the tile's middle, px
};

GEOLRM_DEVICE LanePlace lane_place(int tile_x, int tile_y) {
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
  const int x = warp % 2 * kCellsOfWarp * kCell + lane % kCell;
  const int y = warp / 2 * kCell + lane / kCell;
  constexpr float kToMiddle = 0.5f - kTile / 2;
  return {tile_x * kTile + x, tile_y * kTile + y, static_cast<float>(x) + kToMiddle,
          static_cast<float>(y) + kToMiddle};
}

}  // namespace geolrm
