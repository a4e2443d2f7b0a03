#include "recording.h"

namespace geolrm::raster {

void Recording::reserve_batch() {
  records.extend(record_count, record_count + kMaxBatch);
  ids.extend(record_count, record_count + kMaxBatch);
  blocks.extend(record_count, record_count + kMaxBatch);
}

void Recording::reserve_out() {
  out_ids.extend(out_count, out_count + record_count);
  out_rows.extend(out_count, out_count + record_count);
}

}  // namespace geolrm::raster
