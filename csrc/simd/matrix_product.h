// The register-blocked product that projection and self-attention share; included after
// the vectors.
#pragma once

#include <cstdint>

namespace geolrm::GEOLRM_ISA {

// kRows x kProductVectors accumulators; the registers left hold one step's operands.
constexpr int kProductVectors = kRegisters == 32 ? 3 : 2;
constexpr int kRows = kRegisters == 32 ? 8 : kWidth == 8 ? 6 : 4;
constexpr int64_t kColumns = kProductVectors * kWidth;

// tile [kRows, kColumns] = start(i, j) + sum_k a[k * a_step + i] * b[k, :], k in order.
// start gives vector j of row i. kStream: b comes from far away.
template <bool kStream, class Start>
inline void product(const float* a, int64_t a_step, const float* b, int64_t steps, Start start,
                    float* tile) {
  Vec sums[kRows][kProductVectors];
  for (int i = 0; i < kRows; ++i) {
    for (int j = 0; j < kProductVectors; ++j) sums[i][j] = start(i, j);
  }
  for (int64_t k = 0; k < steps; ++k) {
    Vec right[kProductVectors];
    for (int j = 0; j < kProductVectors; ++j) right[j] = load(b + j * kWidth);
    if (kStream) prefetch(b + 8 * kColumns);
#ifdef GEOLRM_HAS_FMA_LANE
    for (int i = 0; i < kRows; i += 4) {
      const Vec left = load(a + i);
      for (int j = 0; j < kProductVectors; ++j) {
        sums[i][j] = fma_lane<0>(left, right[j], sums[i][j]);
        sums[i + 1][j] = fma_lane<1>(left, right[j], sums[i + 1][j]);
        sums[i + 2][j] = fma_lane<2>(left, right[j], sums[i + 2][j]);
        sums[i + 3][j] = fma_lane<3>(left, right[j], sums[i + 3][j]);
      }
    }
#else
    for (int i = 0; i < kRows; ++i) {
      const Vec left = set1(a[i]);
      for (int j = 0; j < kProductVectors; ++j) sums[i][j] = fma(left, right[j], sums[i][j]);
    }
#endif
    a += a_step;
    b += kColumns;
  }
  for (int i = 0; i < kRows; ++i) {
    for (int j = 0; j < kProductVectors; ++j) store(tile + i * kColumns + j * kWidth, sums[i][j]);
  }
}

}  // namespace geolrm::GEOLRM_ISA
