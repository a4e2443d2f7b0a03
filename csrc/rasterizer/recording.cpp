#include "recording.h"

#include "rasterizer_kernel.h"

namespace geolrm::raster {

void Recording::reserve_batch() {
  constexpr int kBlocks = kMaxTileBlocks * kMaxTileBlocks;
  records.extend(record_count, record_count + kMaxBatch);
  ids.extend(record_count, record_count + kMaxBatch);
  rows.extend(record_count, record_count + kMaxBatch);
  items.extend(item_count, item_count + kBlocks * kMaxBatch);
  segments.extend(segment_count, segment_count + kBlocks);
}

void Recording::reserve_out() {
  out_ids.extend(out_count, out_count + record_count);
  out_rows.extend(out_count, out_count + record_count);
}

}  // namespace geolrm::raster
