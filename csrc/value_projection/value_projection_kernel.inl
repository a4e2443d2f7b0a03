// The projection kernel: a register-blocked product of packed panels. Uses nothing of the standard
// library: a shared inline function must not be compiled here.
#include "simd/matrix_product.h"
#include "value_projection/value_projection_kernel.h"

namespace geolrm::GEOLRM_ISA {
namespace {

template <class T>
inline void copy_out(const float* from, T* to, int64_t n) {
  int64_t i = 0;
  for (; i + kWidth <= n; i += kWidth) store(to + i, load(from + i));
  if (i < n) {
    const Tail tail(static_cast<int>(n - i));
    store(to + i, load(from + i, tail), tail);
  }
}

// Spreads a row of a tile, columns [first, first + kColumns) of d, over the heads it covers.
template <class T>
inline void scatter(const ProjectionBlock& block, const float* row, int64_t first, int64_t place,
                    T* out) {
  const int64_t d = block.heads * block.head_dim;
  const int64_t last = first + kColumns < d ? first + kColumns : d;
  for (int64_t column = first; column < last;) {
    const int64_t head = column / block.head_dim, channel = column % block.head_dim;
    const int64_t left = block.head_dim - channel;
    const int64_t n = left < last - column ? left : last - column;
    copy_out(row + (column - first), out + (place + head * block.pixels) * block.head_dim + channel,
             n);
    column += n;
  }
}

void run(const ProjectionBlock& block) {
  const int64_t channels = block.channels, d = block.heads * block.head_dim;
  // Rows beyond the last repeat it: nothing is special about them but that they are not written.
  for (int64_t first = 0; first < block.count; first += kRows) {
    float* to = block.packed + first * channels;
    const float* rows[kRows];
    for (int64_t i = 0; i < kRows; ++i) {
      rows[i] = block.rows[first + i < block.count ? first + i : block.count - 1];
    }
    for (int64_t k = 0; k < channels; ++k) {
      for (int64_t i = 0; i < kRows; ++i) to[k * kRows + i] = rows[i][k];
    }
  }
  float tile[kRows * kColumns];
  for (int64_t column = 0, panel = 0; column < d; column += kColumns, ++panel) {
    for (int64_t first = 0; first < block.count; first += kRows) {
      const float* bias = block.bias + panel * kColumns;
      product<true>(
          block.packed + first * channels, kRows, block.panels + panel * channels * kColumns,
          channels, [&](int, int j) { return load(bias + j * kWidth); }, tile);
      const int64_t count = block.count - first < kRows ? block.count - first : kRows;
      for (int64_t i = 0; i < count; ++i) {
        if (block.out != nullptr) {
          scatter(block, tile + i * kColumns, column, block.places[first + i], block.out);
        } else {
          scatter(block, tile + i * kColumns, column, block.places[first + i], block.out_half);
        }
      }
    }
  }
}

}  // namespace

}  // namespace geolrm::GEOLRM_ISA

namespace geolrm {

const ValueProjectionKernel ValueProjectionKernel::GEOLRM_ISA = {GEOLRM_ISA::kColumns,
                                                                 GEOLRM_ISA::run};

}  // namespace geolrm
