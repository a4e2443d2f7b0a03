// The projection kernel: a register-blocked product of packed panels; included after one simd_*.h.
// Uses nothing of the standard library: a shared inline function must not be compiled here.
#include "projection.h"

namespace geolrm::GEOLRM_ISA {
namespace {

// kRows x kVectors accumulators, and as many registers left as one column's operands need.
constexpr int kVectors = kRegisters == 32 ? 3 : 2;
constexpr int kRows = kRegisters == 32 ? 8 : kWidth == 8 ? 6 : 4;
constexpr int64_t kColumns = kVectors * kWidth;

// tile [kRows, kColumns] = bias + a [C, kRows]^T b [C, kColumns], in the order of C.
inline void multiply(const float* a, const float* b, const float* bias, int64_t channels,
                     float* tile) {
  Vec sums[kRows][kVectors];
  for (int i = 0; i < kRows; ++i) {
    for (int j = 0; j < kVectors; ++j) sums[i][j] = load(bias + j * kWidth);
  }
  for (int64_t k = 0; k < channels; ++k) {
    Vec right[kVectors];
    for (int j = 0; j < kVectors; ++j) right[j] = load(b + j * kWidth);
    prefetch(b + 8 * kColumns);
    for (int i = 0; i < kRows; ++i) {
      const Vec left = set1(a[i]);
      for (int j = 0; j < kVectors; ++j) sums[i][j] = fma(left, right[j], sums[i][j]);
    }
    a += kRows;
    b += kColumns;
  }
  for (int i = 0; i < kRows; ++i) {
    for (int j = 0; j < kVectors; ++j) store(tile + i * kColumns + j * kWidth, sums[i][j]);
  }
}

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
  const int64_t d = block.heads * block.width;
  const int64_t last = first + kColumns < d ? first + kColumns : d;
  for (int64_t column = first; column < last;) {
    const int64_t head = column / block.width, channel = column % block.width;
    const int64_t left = block.width - channel;
    const int64_t n = left < last - column ? left : last - column;
    copy_out(row + (column - first), out + (place + head * block.pixels) * block.width + channel,
             n);
    column += n;
  }
}

void run(const ProjectionBlock& block) {
  const int64_t channels = block.channels, d = block.heads * block.width;
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
      multiply(block.packed + first * channels, block.panels + panel * channels * kColumns,
               block.bias + panel * kColumns, channels, tile);
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

extern const ProjectionKernel kProjection = {kColumns, run};

}  // namespace geolrm::GEOLRM_ISA
