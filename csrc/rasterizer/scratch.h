// What one worker needs to render one tile after another.
#pragma once

#include <chrono>

#include "bit_transpose.h"
#include "blend.h"
#include "sort.h"

namespace geolrm::raster {

struct TileScratch {
  virtual ~TileScratch() = default;
};

namespace GEOLRM_ISA {
namespace {

// A block on the tile's way to the front: T behind the splats still ahead, R of those passed, the
// place of the last record that counted, and dL/d(pixels).
struct alignas(64) WayBack {
  float transmittance[kLanes], behind[kLanes], place[kLanes];
  float rgb[3][kLanes], depth[kLanes];
};

struct alignas(64) Scratch : TileScratch {
  TileState own;    // the state of a tile that is rendered in one pass
  TileState* tile;  // of the tile at hand
  Record records[kBatch];
  BlockRows rows[kBatch];
  uint64_t masks[kTileArea];  // which of the batch touch a block
  Buckets buckets;
  AliveSums sums;
  uint32_t pending[kBatch];
  ExactPixels exact;
  WayBack way_back[kTileArea];
};

class StageTimer {
 public:
  explicit StageTimer(bool on) : on_(on) {
    if (on_) last_ = std::chrono::steady_clock::now();
  }
  void lap(double& total) {
    if (!on_) return;
    const auto now = std::chrono::steady_clock::now();
    total += std::chrono::duration<double>(now - last_).count();
    last_ = now;
  }

 private:
  bool on_;
  std::chrono::steady_clock::time_point last_;
};

inline void prefetch(const void* address) { __builtin_prefetch(address); }

// Px from the middle of the cell that a pixel lies in, along one axis.
inline float from_middle(int pixel) { return static_cast<float>(pixel % kCell - kCell / 2); }

}  // namespace
}  // namespace GEOLRM_ISA
}  // namespace geolrm::raster
