// The self-attention kernel: streaming softmax with one query in each lane, so that maxima and sums
// need no work across lanes.
// Uses nothing of the standard library: a shared inline function must not be compiled here.
#include "self_attention/self_attention_kernel.h"
#include "simd/matrix_product.h"

namespace geolrm::GEOLRM_ISA {
namespace {

constexpr int64_t kKeys = 16 * kRows;  // scores of a block of keys stay in the first cache

inline int64_t round_up(int64_t n) { return (n + kRows - 1) / kRows * kRows; }

void pack(const SelfAttention& call, int64_t head, int64_t panel, float* keys, float* values) {
  const int64_t d = call.heads * call.head_dim, padded = round_up(call.head_dim);
  for (int64_t i = 0; i < kRows; ++i) {
    const int64_t n = panel * kRows + i, at = n * d + head * call.head_dim;
    const bool known = n < call.queries;
    for (int64_t c = 0; c < call.head_dim; ++c) keys[c * kRows + i] = known ? call.k[at + c] : 0.0f;
    for (int64_t c = 0; c < padded; ++c) {
      values[i * padded + c] = known && c < call.head_dim ? call.v[at + c] : 0.0f;
    }
  }
}

// The running softmax of kColumns queries, in log2 units.
struct Softmax {
  Vec largest[kProductVectors], total[kProductVectors];
};

// Turns scores [keys, kColumns] into weights against the new maximum. Returns through `shrink` what
// earlier sums are to be multiplied by, and whether that is other than 1.
inline bool weigh(float* scores, int64_t keys, Softmax& softmax, Vec* shrink) {
  bool changed = false;
  for (int j = 0; j < kProductVectors; ++j) {
    float* column = scores + j * kWidth;
    Vec best = softmax.largest[j], other = best;
    int64_t k = 0;
    for (; k + 2 <= keys; k += 2) {
      best = max(best, load(column + k * kColumns));
      other = max(other, load(column + (k + 1) * kColumns));
    }
    if (k < keys) best = max(best, load(column + k * kColumns));
    best = max(best, other);
    changed = changed || count(less(softmax.largest[j], best)) != 0;
    shrink[j] = exp2(softmax.largest[j] - best);
    softmax.largest[j] = best;
    Vec even = zero(), odd = zero();
    for (k = 0; k + 2 <= keys; k += 2) {
      const Vec a = exp2(load(column + k * kColumns) - best);
      const Vec b = exp2(load(column + (k + 1) * kColumns) - best);
      store(column + k * kColumns, a);
      store(column + (k + 1) * kColumns, b);
      even = even + a;
      odd = odd + b;
    }
    if (k < keys) {
      const Vec a = exp2(load(column + k * kColumns) - best);
      store(column + k * kColumns, a);
      even = even + a;
    }
    softmax.total[j] = fma(softmax.total[j], shrink[j], even + odd);
  }
  return changed;
}

void attend(const SelfAttention& call, int64_t head, int64_t first, const float* keys,
            const float* values, float* scratch) {
  const int64_t head_dim = call.head_dim, padded = round_up(head_dim), d = call.heads * head_dim;
  float* queries = scratch;                     // [e, kColumns], scaled to log2 units
  float* sums = queries + head_dim * kColumns;  // [padded e, kColumns]
  float* scores = sums + padded * kColumns;     // [kKeys, kColumns]
  const int64_t known = call.queries - first < kColumns ? call.queries - first : kColumns;
  const float scale = kLog2EHigh / square_root(static_cast<float>(head_dim));
  for (int64_t c = 0; c < head_dim; ++c) {
    for (int64_t i = 0; i < kColumns; ++i) {
      queries[c * kColumns + i] =
          i < known ? call.q[(first + i) * d + head * head_dim + c] * scale : 0.0f;
    }
  }
  for (int64_t i = 0; i < padded * kColumns; i += kWidth) store(sums + i, zero());
  Softmax softmax;
  for (int j = 0; j < kProductVectors; ++j) {
    softmax.largest[j] = set1(-3.0e38f);
    softmax.total[j] = zero();
  }
  for (int64_t begin = 0; begin < call.queries; begin += kKeys) {
    const int64_t count = call.queries - begin < kKeys ? call.queries - begin : kKeys;
    for (int64_t k = 0; k < count; k += kRows) {
      product<false>(
          keys + (begin + k) * head_dim, kRows, queries, head_dim, [](int, int) { return zero(); },
          scores + k * kColumns);
    }
    Vec shrink[kProductVectors];
    const bool changed = weigh(scores, count, softmax, shrink);
    for (int64_t c = 0; c < padded; c += kRows) {
      float* tile = sums + c * kColumns;
      const float* right = values + begin * padded + c;
      if (changed) {
        product<false>(
            right, padded, scores, count,
            [&](int i, int j) { return load(tile + i * kColumns + j * kWidth) * shrink[j]; }, tile);
      } else {
        product<false>(
            right, padded, scores, count,
            [&](int i, int j) { return load(tile + i * kColumns + j * kWidth); }, tile);
      }
    }
  }
  float total[kColumns];
  for (int j = 0; j < kProductVectors; ++j) store(total + j * kWidth, softmax.total[j]);
  for (int64_t i = 0; i < known; ++i) {
    float* to = call.out + (first + i) * d + head * head_dim;
    for (int64_t c = 0; c < head_dim; ++c) to[c] = sums[c * kColumns + i] / total[i];
  }
}

}  // namespace

}  // namespace geolrm::GEOLRM_ISA

namespace geolrm {

const SelfAttentionKernel SelfAttentionKernel::GEOLRM_ISA = {
    GEOLRM_ISA::kRows, GEOLRM_ISA::kColumns, GEOLRM_ISA::kKeys, GEOLRM_ISA::pack,
    GEOLRM_ISA::attend};

}  // namespace geolrm
