// The value projection, fused with the choice of rows: values = features W^T + b, written
// head-major and only where some sample will read.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "simd/simd.h"

namespace geolrm {

// Weights packed once for the instruction set they will be used with.
class ValueProjection {
 public:
  // weight [d, C] (out, in), bias [d], d = heads * head_dim; both are copied.
  ValueProjection(const float* weight, const float* bias, int64_t heads, int64_t head_dim,
                  int64_t channels);

  int64_t heads() const { return heads_; }
  int64_t head_dim() const { return head_dim_; }
  int64_t channels() const { return channels_; }

  // features [V, L, C]; touched [V, L] or null for all rows; out [V, h, L, e], of which the rows
  // not touched are left as they are. A row depends on its own features alone, bit for bit.
  // Calls may run at the same time.
  template <class T>
  void project(const float* features, const uint8_t* touched, T* out, int64_t views, int64_t pixels,
               int threads, const std::string& isa) const;

 private:
  struct Packed {
    int64_t columns = 0;        // of a panel
    std::vector<float> panels;  // [panels, C, columns], zeros beyond d
    std::vector<float> bias;    // [panels, columns]
  };
  const Packed& packed(int64_t columns) const;

  int64_t heads_, head_dim_, channels_;
  std::vector<float> weight_, bias_;
  struct Cache;
  std::shared_ptr<Cache> cache_;
};

}  // namespace geolrm
