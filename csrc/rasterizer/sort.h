// The sort stage within a tile, lazily: buckets by depth first, sorted one by one on demand, after
// what is hidden behind finished blocks has been dropped.
#pragma once

#include <algorithm>

#include "coverage.h"
#include "rasterizer_kernel.h"

namespace geolrm::raster::GEOLRM_ISA {
namespace {

constexpr int kMaxBuckets = 4096;

struct Buckets {
  int count;
  uint32_t begin[kMaxBuckets + 1];
};

// Scatters the entries into `keys` and `boxes` by buckets of ascending depth.
inline void fill_buckets(const TileEntries& entries, uint64_t* keys, uint16_t* boxes,
                         Buckets& out) {
  const int64_t n = entries.count;
  uint64_t low = ~0ull, high = 0;
  for (int64_t i = 0; i < n; ++i) {
    low = std::min(low, entries.keys[i]);
    high = std::max(high, entries.keys[i]);
  }
  int count = 1;
  while (count < kMaxBuckets && count * 8 < n) count *= 2;
  int shift = 32;
  while ((high >> shift) - (low >> shift) >= static_cast<uint64_t>(count)) ++shift;
  const uint64_t first = low >> shift;
  out.count = count;
  std::fill(out.begin, out.begin + count + 1, 0u);
  for (int64_t i = 0; i < n; ++i) ++out.begin[(entries.keys[i] >> shift) - first + 1];
  for (int b = 0; b < count; ++b) out.begin[b + 1] += out.begin[b];
  uint32_t* const next = out.begin;
  for (int64_t i = 0; i < n; ++i) {
    const uint32_t at = next[(entries.keys[i] >> shift) - first]++;
    keys[at] = entries.keys[i];
    boxes[at] = entries.boxes[i];
  }
  for (int b = count; b > 0; --b) out.begin[b] = out.begin[b - 1];
  out.begin[0] = 0;
}

// Unfinished blocks above and left of each corner: four look-ups tell whether a box is hidden.
struct AliveSums {
  int sums[kMaxTileBlocks + 1][kMaxTileBlocks + 1];

  void rebuild(const BlockRows& alive) {
    for (int x = 0; x <= kMaxTileBlocks; ++x) sums[0][x] = 0;
    for (int y = 0; y < kMaxTileBlocks; ++y) {
      int row = 0;
      sums[y + 1][0] = 0;
      for (int x = 0; x < kMaxTileBlocks; ++x) {
        row += (alive.rows[y] >> x) & 1;
        sums[y + 1][x + 1] = sums[y][x + 1] + row;
      }
    }
  }

  bool any() const { return sums[kMaxTileBlocks][kMaxTileBlocks] != 0; }

  bool any(uint16_t box) const {
    const int x0 = box & 15, x1 = ((box >> 4) & 15) + 1;
    const int y0 = (box >> 8) & 15, y1 = (box >> 12) + 1;
    return sums[y1][x1] - sums[y0][x1] != sums[y1][x0] - sums[y0][x0];
  }
};

// Sorts by (depth, index): all keys differ, so the order is the same however it is reached. A few
// keys go straight to their ranks: no branch to mispredict, and vectors of comparisons.
inline void sort_keys(uint64_t* keys, int64_t count) {
  constexpr int kFew = 32;
  if (count <= 1) return;
  if (count <= kFew) {
    int64_t copy[kFew];
    const int n = static_cast<int>(count);
    for (int i = 0; i < n; ++i) copy[i] = static_cast<int64_t>(keys[i]);  // the top bit is 0
    for (int i = 0; i < n; ++i) {
      const int64_t key = copy[i];
      int64_t rank = 0;
      for (int j = 0; j < n; ++j) rank += copy[j] < key;
      keys[rank] = static_cast<uint64_t>(key);
    }
  } else {
    const auto less = [](uint64_t a, uint64_t b) { return a < b; };
    if (!std::is_sorted(keys, keys + count, less)) std::sort(keys, keys + count, less);
  }
}

}  // namespace
}  // namespace geolrm::raster::GEOLRM_ISA
