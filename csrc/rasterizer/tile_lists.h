// Which splats each tile has to look at: candidates of the whole model, scattered to tiles.
#pragma once

#include <cstdint>
#include <vector>

#include "rasterizer_kernel.h"

namespace geolrm::raster {

// Splats per chunk of work. Chunks do not depend on the number of threads, nor does their result.
int64_t chunk_size(int64_t count);

// Unfinished blocks above and left of each corner of the image's grid of blocks.
struct AliveBlocks {
  int width = 0;  // corners in a row
  std::vector<uint32_t> sums;

  void build(const View& view, const TileState* states);
  bool any(const Candidate& c) const {
    const uint32_t* const top = sums.data() + static_cast<int64_t>(c.block_y0) * width;
    const uint32_t* const bottom = sums.data() + static_cast<int64_t>(c.block_y1 + 1) * width;
    return bottom[c.block_x1 + 1] - top[c.block_x1 + 1] != bottom[c.block_x0] - top[c.block_x0];
  }
};

constexpr uint32_t kNoSplit = ~0u;

struct Frame;

// The candidates of one view and, for one pass over a range of depth at a time, the tiles' lists.
class TileLists {
 public:
  // Finds the candidates and counts the tiles of those with a depth key below the split.
  void project(const Frame& frame, uint32_t split);

  // Drops the candidates so far, goes on to the others and counts their tiles, but for those that
  // are hidden behind finished blocks.
  void advance(const Frame& frame, const AliveBlocks& alive);

  // Of the part at hand, which the lists are made of; the far candidates come after it.
  int64_t candidates() const { return total_candidates_; }
  int64_t far_candidates() const { return far_candidates_; }
  int64_t pairs() const { return total_pairs_; }

  // Lists all candidates at once; for when pairs() fits the budget.
  void bin_all(const Frame& frame);

  // Otherwise: sorts candidates by (depth, index), then lists ranges of at most `budget` pairs
  // (one splat's at least), leaving out tiles that are done. Returns false when none are left.
  void sort_by_depth();
  bool bin_next(const Frame& frame, int64_t budget, const std::vector<uint8_t>& done);
  void rewind() { next_ = 0; }
  void skip_rest();  // empty lists, and nothing left
  bool exhausted() const { return next_ >= total_candidates_; }

  int64_t tile_count(int64_t tile) const { return offsets_[tile + 1] - offsets_[tile]; }
  TileEntries tile(int64_t tile) const {
    return {keys_.data() + offsets_[tile], boxes_.data() + offsets_[tile], tile_count(tile)};
  }
  int64_t largest_tile() const;

 private:
  void count_tiles(const View& view, int64_t chunk);
  void place_chunks();

  int64_t count_ = 0, chunk_ = 0, chunks_ = 0, tiles_ = 0;
  int64_t total_candidates_ = 0, far_candidates_ = 0, total_pairs_ = 0, next_ = 0;
  AlignedBuffer<Candidate> candidates_, sorted_, spare_;
  AlignedBuffer<uint32_t> counts_;  // [chunks, tiles], then where each chunk writes in a tile
  std::vector<int64_t> found_;      // candidates of each chunk, at the front of its part
  std::vector<int64_t> far_;        // of each chunk, at the back
  std::vector<int64_t> offsets_;    // [tiles + 1] into keys_ and boxes_
  AlignedBuffer<uint64_t> keys_;
  AlignedBuffer<uint16_t> boxes_;
};

}  // namespace geolrm::raster
