// A pixel's last splat decided in double, for the few pixels where float cannot tell.
#pragma once

#include <vector>

#include "rasterizer_kernel.h"

namespace geolrm::raster {

// Of one worker, for one tile after another. Not inline: the kernels must not compile their own
// copies of what allocates.
class ExactPixels {
 public:
  ExactPixels();
  ~ExactPixels();
  void start_tile(const TileTask& task);

  // Whether T at the pixel stays above the limit behind the splat; `before`: T in front of it in
  // float. It depends on the scene and the pixel alone, not on tiles, batches or passes.
  bool counts(uint32_t id, int x, int y, float before);

 private:
  struct Entry {
    uint64_t order;  // (depth key, index)
    uint16_t block_x0, block_x1, block_y0, block_y1;
  };
  void list_tile();
  double pass(uint32_t id, int x, int y) const;

  const TileTask* task_ = nullptr;
  bool listed_ = false;
  std::vector<Entry> entries_;  // all that touch the tile, front to back
};

}  // namespace geolrm::raster
