// Which splats each tile has to look at: candidates of the whole model, scattered to tiles.
#pragma once

#include <cstdint>
#include <vector>

#include "kernel.h"

namespace geolrm::raster {

// Splats per chunk of work. Chunks do not depend on the number of threads, nor does their result.
int64_t chunk_size(int64_t count);

// The candidates of one view and, for one pass over a range of depth at a time, the tiles' lists.
class TileLists {
 public:
  // Finds the candidates and counts their tiles.
  void find(const SplatModel& model, const View& view, const Parameters& parameters,
            const Kernel& kernel, int threads);

  int64_t candidates() const { return total_candidates_; }
  int64_t pairs() const { return total_pairs_; }

  // Lists all candidates at once; for when pairs() fits the budget.
  void scatter_all(const View& view, int threads);

  // Otherwise: sorts candidates by (depth, index), then scatters ranges of at most `budget` pairs
  // (one splat's at least), leaving out tiles that are done. Returns false when none are left.
  void sort_by_depth();
  bool scatter_next(const View& view, int64_t budget, const std::vector<uint8_t>& done);
  void rewind() { next_ = 0; }
  void skip_rest();  // empty lists, and nothing left
  bool exhausted() const { return next_ >= total_candidates_; }

  int64_t tile_count(int64_t tile) const { return offsets_[tile + 1] - offsets_[tile]; }
  TileEntries tile(int64_t tile) const {
    return {keys_.data() + offsets_[tile], boxes_.data() + offsets_[tile], tile_count(tile)};
  }
  int64_t largest_tile() const;

 private:
  void count_tiles(const View& view, const Candidate& candidate, uint32_t* counts) const;

  int64_t chunk_ = 0, chunks_ = 0, tiles_ = 0;
  int64_t total_candidates_ = 0, total_pairs_ = 0, next_ = 0;
  AlignedBuffer<Candidate> candidates_, sorted_;
  AlignedBuffer<uint32_t> counts_;  // [chunks, tiles], then where each chunk writes in a tile
  std::vector<int64_t> found_;      // candidates of each chunk
  std::vector<int64_t> offsets_;    // [tiles + 1] into keys_ and boxes_
  AlignedBuffer<uint64_t> keys_;
  AlignedBuffer<uint16_t> boxes_;
};

}  // namespace geolrm::raster
