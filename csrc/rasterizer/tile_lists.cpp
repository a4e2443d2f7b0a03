#include "tile_lists.h"

#include <algorithm>
#include <numeric>

#include "frame.h"
#include "thread_pool.h"

namespace geolrm::raster {
namespace {

constexpr int64_t kSpare = 64;  // elements apart, so that chunks do not share cache lines

struct TileRange {
  int x0, x1, y0, y1;
};

inline int tile_shift(const View& view) { return view.tile_blocks == 16 ? 4 : 3; }

inline TileRange tiles_of(const Candidate& c, int shift) {
  return {c.block_x0 >> shift, c.block_x1 >> shift, c.block_y0 >> shift, c.block_y1 >> shift};
}

// The candidate's box within one tile, four bits a side.
inline uint16_t box_within(const Candidate& c, int tile_x, int tile_y, int shift) {
  const int base_x = tile_x << shift, base_y = tile_y << shift, last = (1 << shift) - 1;
  const int x0 = std::max(c.block_x0 - base_x, 0), x1 = std::min(c.block_x1 - base_x, last);
  const int y0 = std::max(c.block_y0 - base_y, 0), y1 = std::min(c.block_y1 - base_y, last);
  return static_cast<uint16_t>(x0 | x1 << 4 | y0 << 8 | y1 << 12);
}

// Calls visit(tile, x, y) for each tile of the range. Most ranges are one or two tiles wide.
template <class Visit>
inline void for_tiles(const TileRange& range, int tiles_x, const Visit& visit) {
  for (int y = range.y0; y <= range.y1; ++y) {
    for (int x = range.x0; x <= range.x1; ++x) {
      visit(static_cast<int64_t>(y) * tiles_x + x, x, y);
    }
  }
}

// At most two tiles a side, as all but large splats are: then four visits with a flag, no branch.
inline bool is_small(const TileRange& range) {
  return (range.x1 - range.x0 <= 1) & (range.y1 - range.y0 <= 1);
}

inline uint64_t order_key(const Candidate& c) { return static_cast<uint64_t>(c.key) << 32 | c.id; }

}  // namespace

int64_t chunk_size(int64_t count) {
  constexpr int64_t kMostChunks = 64, kSmallest = 4096;
  const int64_t size = std::max(kSmallest, (count + kMostChunks - 1) / kMostChunks);
  return (size + SplatModel::kPadding - 1) / SplatModel::kPadding * SplatModel::kPadding;
}

void AliveBlocks::build(const View& view, const TileState* states) {
  width = view.blocks_x + 1;
  sums.assign(static_cast<size_t>(width) * (view.blocks_y + 1), 0);
  for (int y = 0; y < view.blocks_y; ++y) {
    const TileState* const row = states + static_cast<int64_t>(y / view.tile_blocks) * view.tiles_x;
    const uint32_t* const above = sums.data() + static_cast<int64_t>(y) * width;
    uint32_t* const below = sums.data() + static_cast<int64_t>(y + 1) * width;
    uint32_t sum = 0;
    for (int x = 0; x < view.blocks_x; ++x) {
      const uint32_t bits = row[x / view.tile_blocks].alive.rows[y % view.tile_blocks];
      sum += bits >> (x % view.tile_blocks) & 1;
      below[x + 1] = above[x + 1] + sum;
    }
  }
}

void TileLists::project(const Frame& frame, uint32_t split) {
  const View& view = frame.view;
  const int64_t n = count_ = frame.model.count();
  chunk_ = chunk_size(n);
  chunks_ = (n + chunk_ - 1) / chunk_;
  tiles_ = frame.tiles();
  next_ = 0;
  candidates_.reserve(n + 1);
  counts_.reserve(std::max<int64_t>(chunks_ * tiles_, 1));
  found_.assign(chunks_, 0);
  far_.assign(chunks_, 0);
  parallel_for(chunks_, 1, frame.options.threads, [&](int64_t first, int64_t last, int) {
    for (int64_t chunk = first; chunk < last; ++chunk) {
      const int64_t begin = chunk * chunk_, end = std::min(begin + chunk_, n);
      Candidate* const out = candidates_.data() + begin;
      const Found found =
          frame.kernel.project_splats(frame.model, view, frame.parameters, begin, end, split, out);
      found_[chunk] = found.near;
      far_[chunk] = found.far;
      count_tiles(view, chunk);
    }
  });
  far_candidates_ = std::accumulate(far_.begin(), far_.end(), int64_t{0});
  place_chunks();
}

void TileLists::advance(const Frame& frame, const AliveBlocks& alive) {
  next_ = far_candidates_ = 0;
  parallel_for(chunks_, 1, frame.options.threads, [&](int64_t first, int64_t last, int) {
    for (int64_t chunk = first; chunk < last; ++chunk) {
      const int64_t begin = chunk * chunk_, end = std::min(begin + chunk_, count_);
      Candidate* const out = candidates_.data() + begin;
      const Candidate* const far = candidates_.data() + end - far_[chunk];
      int64_t kept = 0;
      for (int64_t i = 0; i < far_[chunk]; ++i) {
        const Candidate c = far[i];  // never overtaken by what is kept
        out[kept] = c;
        kept += alive.any(c);
      }
      found_[chunk] = kept;
      far_[chunk] = 0;
      count_tiles(frame.view, chunk);
    }
  });
  place_chunks();
}

void TileLists::count_tiles(const View& view, int64_t chunk) {
  const int shift = tile_shift(view);
  const Candidate* const found = candidates_.data() + chunk * chunk_;
  const int64_t count = found_[chunk];
  uint32_t* const counts = counts_.data() + chunk * tiles_;
  std::fill(counts, counts + tiles_, 0u);
  for (int64_t i = 0; i < count; ++i) {
    const TileRange range = tiles_of(found[i], shift);
    if (is_small(range)) {
      const uint32_t wide = range.x1 - range.x0, high = range.y1 - range.y0;
      uint32_t* const top = counts + static_cast<int64_t>(range.y0) * view.tiles_x;
      uint32_t* const bottom = counts + static_cast<int64_t>(range.y1) * view.tiles_x;
      ++top[range.x0];
      top[range.x1] += wide;
      bottom[range.x0] += high;
      bottom[range.x1] += wide & high;
    } else {
      for_tiles(range, view.tiles_x, [&](int64_t tile, int, int) { ++counts[tile]; });
    }
  }
}

// Where each tile's list lies, then each chunk's part of it.
void TileLists::place_chunks() {
  total_candidates_ = std::accumulate(found_.begin(), found_.end(), int64_t{0});
  offsets_.assign(tiles_ + 1, 0);
  for (int64_t chunk = 0; chunk < chunks_; ++chunk) {
    uint32_t* const counts = counts_.data() + chunk * tiles_;
    for (int64_t tile = 0; tile < tiles_; ++tile) {
      const uint32_t count = counts[tile];
      counts[tile] = static_cast<uint32_t>(offsets_[tile + 1]);
      offsets_[tile + 1] += count;
    }
  }
  for (int64_t tile = 0; tile < tiles_; ++tile) offsets_[tile + 1] += offsets_[tile];
  total_pairs_ = offsets_[tiles_];
}

void TileLists::bin_all(const Frame& frame) {
  const View& view = frame.view;
  next_ = total_candidates_;
  uint64_t* const keys = keys_.reserve(total_pairs_ + kSpare * chunks_);
  uint16_t* const boxes = boxes_.reserve(total_pairs_ + kSpare * chunks_);
  const int shift = tile_shift(view), last = (1 << shift) - 1, tiles_x = view.tiles_x;
  parallel_for(
      chunks_, 1, frame.options.threads, [&](int64_t first_chunk, int64_t last_chunk, int) {
        for (int64_t chunk = first_chunk; chunk < last_chunk; ++chunk) {
          const Candidate* const found = candidates_.data() + chunk * chunk_;
          const int64_t count = found_[chunk];
          uint32_t* const next = counts_.data() + chunk * tiles_;
          for (int64_t tile = 0; tile < tiles_; ++tile) {
            next[tile] += static_cast<uint32_t>(offsets_[tile]);
          }
          // Unwanted visits write to the chunk's spare entries, which nobody reads.
          const uint32_t spare = static_cast<uint32_t>(total_pairs_ + kSpare * chunk);
          uint32_t nowhere[3] = {spare, spare + 1, spare + 2};
          for (int64_t i = 0; i < count; ++i) {
            const Candidate c = found[i];
            const uint64_t key = order_key(c);
            const TileRange range = tiles_of(c, shift);
            if (is_small(range)) {
              const uint32_t wide = range.x1 - range.x0, high = range.y1 - range.y0;
              const uint32_t x0 = c.block_x0 & last, x1 = c.block_x1 & last;
              const uint32_t y0 = c.block_y0 & last, y1 = c.block_y1 & last;
              const uint32_t left = x0 | (wide ? last : x1) << 4, right = x1 << 4;
              const uint32_t top = y0 << 8 | (high ? last : y1) << 12, bottom = y1 << 12;
              uint32_t* const corner = next + static_cast<int64_t>(range.y0) * tiles_x + range.x0;
              const auto write = [&](uint32_t* position, uint32_t box, uint32_t wanted) {
                const uint32_t at = *position;
                keys[at] = key;
                boxes[at] = static_cast<uint16_t>(box);
                *position = at + wanted;
              };
              write(corner, left | top, 1);
              write(wide ? corner + 1 : &nowhere[0], right | top, wide);
              write(high ? corner + tiles_x : &nowhere[1], left | bottom, high);
              write(wide & high ? corner + tiles_x + 1 : &nowhere[2], right | bottom, wide & high);
            } else {
              for_tiles(range, tiles_x, [&](int64_t tile, int x, int y) {
                const uint32_t at = next[tile]++;
                keys[at] = key;
                boxes[at] = box_within(c, x, y, shift);
              });
            }
          }
        }
      });
}

void TileLists::sort_by_depth() {
  // One stable radix sort on the depth keys: candidates are in order of index already.
  sorted_.reserve(total_candidates_ + 1);
  // Not in place, as far candidates lie between them.
  Candidate* from = spare_.reserve(total_candidates_ + 1);
  Candidate* to = sorted_.data();
  int64_t at = 0;
  for (int64_t chunk = 0; chunk < chunks_; ++chunk) {
    const Candidate* const found = candidates_.data() + chunk * chunk_;
    std::copy(found, found + found_[chunk], from + at);
    at += found_[chunk];
  }
  constexpr int kBits = 11, kBins = 1 << kBits;
  for (int shift = 0; shift < 32; shift += kBits) {
    std::vector<int64_t> next(kBins + 1, 0);
    for (int64_t i = 0; i < at; ++i) ++next[((from[i].key >> shift) & (kBins - 1)) + 1];
    for (int b = 0; b < kBins; ++b) next[b + 1] += next[b];
    for (int64_t i = 0; i < at; ++i) to[next[(from[i].key >> shift) & (kBins - 1)]++] = from[i];
    std::swap(from, to);
  }
  if (from != sorted_.data()) std::copy(from, from + at, sorted_.data());
  next_ = 0;
}

bool TileLists::bin_next(const Frame& frame, int64_t budget, const std::vector<uint8_t>& done) {
  const View& view = frame.view;
  if (exhausted()) return false;
  const int shift = tile_shift(view);
  std::fill(offsets_.begin(), offsets_.end(), 0);
  int64_t pairs = 0, end = next_;
  for (; end < total_candidates_; ++end) {
    const TileRange range = tiles_of(sorted_[end], shift);
    const int64_t most = static_cast<int64_t>(range.x1 - range.x0 + 1) * (range.y1 - range.y0 + 1);
    if (end > next_ && pairs + most > budget) break;
    for_tiles(range, view.tiles_x, [&](int64_t tile, int, int) {
      if (done[tile]) return;
      ++offsets_[tile + 1];
      ++pairs;
    });
  }
  for (int64_t tile = 0; tile < tiles_; ++tile) offsets_[tile + 1] += offsets_[tile];
  keys_.reserve(pairs + 1);
  boxes_.reserve(pairs + 1);
  std::vector<int64_t> next(offsets_.begin(), offsets_.end() - 1);
  for (int64_t i = next_; i < end; ++i) {
    const Candidate& c = sorted_[i];
    const TileRange range = tiles_of(c, shift);
    for_tiles(range, view.tiles_x, [&](int64_t tile, int x, int y) {
      if (done[tile]) return;
      const int64_t at = next[tile]++;
      keys_[at] = order_key(c);
      boxes_[at] = box_within(c, x, y, shift);
    });
  }
  next_ = end;
  return true;
}

void TileLists::skip_rest() {
  std::fill(offsets_.begin(), offsets_.end(), 0);
  next_ = total_candidates_;
}

int64_t TileLists::largest_tile() const {
  int64_t largest = 0;
  for (int64_t tile = 0; tile < tiles_; ++tile) largest = std::max(largest, tile_count(tile));
  return largest;
}

}  // namespace geolrm::raster
